/**
 * Wakes processes that wait for work, when the transaction commits. It carries ids only and may be lost:
 * the truth is in tables, and pollers catch what was missed.
 */
export interface WakeUp {
  notify(topic: string, ids?: { readonly cluster?: string } & Readonly<Record<string, string>>): Promise<void>;
}
