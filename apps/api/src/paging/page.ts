import type { Page, PageRequest } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import { z } from 'zod';
import { CursorCodec } from './cursor-codec.ts';

/** Query parameters of every list. Extend it with the filters of the list. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().max(1_024).optional(),
});

/** A page as it is sent: `next` is the cursor of the following page, absent on the last one. */
export function pageSchema<Item extends z.ZodType>(name: string, item: Item) {
  return z.object({ items: z.array(item), next: z.string().optional() }).meta({ id: name });
}

/** Turns cursors into positions and back, for one list of one request. */
export class Paging {
  readonly #codec: CursorCodec;

  constructor(codec: CursorCodec) {
    this.#codec = codec;
  }

  /**
   * @param list name of the list; filters are taken from `query`, so that a cursor holds for the same question only
   * @throws DomainError `cursor.invalid`
   */
  request<Position extends string | number = string>(context: TenantContext, list: string, query: PageQuery): PageRequest<Position> {
    if (query.cursor === undefined) return { limit: query.limit };
    const after = this.#codec.decode(context.tenantId, listKey(list, query), query.cursor);
    if (typeof after !== 'string' && typeof after !== 'number') throw new DomainError('cursor.invalid', 'This cursor is of another version: start without one.', { pointer: '/cursor' });
    return { limit: query.limit, after: after as Position };
  }

  answer<T, View>(context: TenantContext, list: string, query: PageQuery, page: Page<T, string | number>, view: (item: T) => View): { items: View[]; next?: string } {
    const items = page.items.map(view);
    return page.next === undefined ? { items } : { items, next: this.#codec.encode(context.tenantId, listKey(list, query), page.next) };
  }
}

type PageQuery = z.output<typeof pageQuery> & Readonly<Record<string, unknown>>;

function listKey(list: string, query: PageQuery): string {
  const filters = Object.entries(query).filter(([name, value]) => name !== 'limit' && name !== 'cursor' && value !== undefined);
  return `${list}?${JSON.stringify(filters.toSorted(([a], [b]) => (a < b ? -1 : 1)))}`;
}
