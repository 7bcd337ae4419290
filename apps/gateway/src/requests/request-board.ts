import type { AgentRequestDesk, AgentRequestInput } from '@palisade/control';
import { DomainError } from '@palisade/errors';

const PATIENCE_MS = 10_000;
const POLL_MS = 250;

/** Puts requests down for the worker and waits for their outcome, some hundred at once at most. */
export class RequestBoard {
  readonly #desk: AgentRequestDesk;
  readonly #limit: number;
  readonly #waiting = new Map<string, { readonly resolve: (outcome: unknown) => void; readonly reject: (error: Error) => void; readonly deadlineMs: number }>();
  #submitting = 0;
  #timer: NodeJS.Timeout | undefined;
  #reading = false;
  #again = false;

  constructor(desk: AgentRequestDesk, limit: number) {
    this.#desk = desk;
    this.#limit = limit;
  }

  /** @throws DomainError `service.unavailable` when too many wait, or the worker does not answer in 10 s */
  async ask(request: AgentRequestInput): Promise<unknown> {
    if (this.#waiting.size + this.#submitting >= this.#limit) throw busy('Too many requests wait for the control plane.');
    this.#submitting += 1;
    let id: string;
    try {
      id = await this.#desk.submit(request);
    } catch (cause) {
      throw new DomainError('service.unavailable', 'The request could not be handed on. Come back in a moment.', { params: { retryAfterSeconds: 2 }, cause });
    } finally {
      this.#submitting -= 1;
    }
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, deadlineMs: Date.now() + PATIENCE_MS });
      this.#timer ??= setTimeout(() => this.look(), POLL_MS);
    });
  }

  /** Outcomes may be there: called by a wake-up, and by a slow poll in case none comes. */
  look(): void {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    if (this.#waiting.size === 0) return;
    this.#reading = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    void this.#read().finally(() => {
      this.#reading = false;
      if (this.#again) {
        this.#again = false;
        this.look();
      } else if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.look(), POLL_MS);
    });
  }

  async #read(): Promise<void> {
    const outcomes = await this.#desk.outcomes([...this.#waiting.keys()]).catch(() => new Map<string, unknown>());
    for (const [id, outcome] of outcomes) {
      this.#waiting.get(id)?.resolve(outcome);
      this.#waiting.delete(id);
    }
    for (const [id, { reject, deadlineMs }] of this.#waiting) {
      if (deadlineMs > Date.now()) continue;
      this.#waiting.delete(id);
      reject(busy('The control plane has not answered in time. The request is safe to repeat.'));
    }
  }
}

function busy(message: string): DomainError {
  return new DomainError('service.unavailable', message, { params: { retryAfterSeconds: 1 + Math.floor(Math.random() * 4) } });
}
