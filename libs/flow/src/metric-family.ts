/** Metrics as data: what Prometheus text and OTLP are written from. Pure. */
export type MetricLabels = Readonly<Record<string, string>>;

export interface CounterSeries {
  readonly labels: MetricLabels;
  readonly value: number;
}

export interface HistogramSeries {
  readonly labels: MetricLabels;
  /** Not cumulative; one more than `bounds` of the family: the last is everything above. */
  readonly counts: readonly number[];
  readonly sum: number;
}

interface Named {
  readonly name: string;
  readonly help: string;
  /** Series that came together under `other` because there were too many. */
  readonly folded: number;
}

export type MetricFamily =
  | (Named & { readonly kind: 'counter' | 'gauge'; readonly series: readonly CounterSeries[] })
  | (Named & { readonly kind: 'histogram'; readonly bounds: readonly number[]; readonly series: readonly HistogramSeries[] });

const OTHER = 'other';

function foldedLabels(labels: MetricLabels): MetricLabels {
  return Object.fromEntries(Object.keys(labels).map((name) => [name, OTHER]));
}

/** Sums by label set. Over the cap, what is small comes together under `other`: the number of series is bounded, the sum stays. */
export class CounterTable {
  readonly #values = new Map<string, { readonly labels: MetricLabels; value: number }>();

  add(labels: MetricLabels, value: number): void {
    if (value === 0) return;
    const key = JSON.stringify(labels);
    const known = this.#values.get(key);
    if (known === undefined) this.#values.set(key, { labels, value });
    else known.value += value;
  }

  family(name: string, help: string, cap: number): MetricFamily {
    const sorted = [...this.#values.values()].toSorted((a, b) => b.value - a.value);
    const rest = sorted.slice(cap);
    const [example] = rest;
    const folded = example === undefined ? [] : [{ labels: foldedLabels(example.labels), value: rest.reduce((sum, { value }) => sum + value, 0) }];
    return { name, help, kind: 'counter', series: [...sorted.slice(0, cap), ...folded], folded: rest.length };
  }
}

/** Histograms by label set, folded as counters are. */
export class HistogramTable {
  readonly #bounds: readonly number[];
  readonly #values = new Map<string, { readonly labels: MetricLabels; counts: number[]; sum: number }>();

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
  }

  /** @param place index of the bound that none of the `count` values exceeds; their number beyond all @param sum of the values */
  add(labels: MetricLabels, place: number, count: number, sum: number): void {
    if (count === 0) return;
    const key = JSON.stringify(labels);
    let known = this.#values.get(key);
    if (known === undefined) this.#values.set(key, (known = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 }));
    known.counts[place] = (known.counts[place] ?? 0) + count;
    known.sum += sum;
  }

  family(name: string, help: string, cap: number): MetricFamily {
    const total = ({ counts }: HistogramSeries): number => counts.reduce((sum, count) => sum + count, 0);
    const sorted = [...this.#values.values()].toSorted((a, b) => total(b) - total(a));
    const rest = sorted.slice(cap);
    const [example] = rest;
    const folded = example === undefined ? [] : [{
      labels: foldedLabels(example.labels),
      counts: example.counts.map((_, index) => rest.reduce((sum, { counts }) => sum + (counts[index] ?? 0), 0)),
      sum: rest.reduce((all, { sum }) => all + sum, 0),
    }];
    return { name, help, kind: 'histogram', bounds: this.#bounds, series: [...sorted.slice(0, cap), ...folded], folded: rest.length };
  }
}

function labelText(labels: MetricLabels, more: MetricLabels = {}): string {
  const escaped = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  const all = Object.entries({ ...labels, ...more });
  return all.length === 0 ? '' : `{${all.map(([name, value]) => `${name}="${escaped(value)}"`).join(',')}}`;
}

function histogramLines(name: string, bounds: readonly number[], { labels, counts, sum }: HistogramSeries): string[] {
  let total = 0;
  const buckets = counts.map((count, index) => `${name}_bucket${labelText(labels, { le: String(bounds[index] ?? '+Inf') })} ${(total += count)}`);
  return [...buckets, `${name}_sum${labelText(labels)} ${sum}`, `${name}_count${labelText(labels)} ${total}`];
}

/** Prometheus text, exposition format 0.0.4. */
export function prometheusText(families: readonly MetricFamily[]): string {
  const lines = families.flatMap((family) => [
    `# HELP ${family.name} ${family.help}`,
    `# TYPE ${family.name} ${family.kind}`,
    ...(family.kind === 'histogram'
      ? family.series.flatMap((series) => histogramLines(family.name, family.bounds, series))
      : family.series.map(({ labels, value }) => `${family.name}${labelText(labels)} ${value}`)),
  ]);
  return `${lines.join('\n')}\n`;
}
