/** Why evidence was refused; a closed set that is audited and asserted in tests. */
export type AttestationFault = 'malformed' | 'bad-signature' | 'untrusted' | 'expired' | 'wrong-audience' | 'wrong-nonce' | 'not-allowed' | 'unavailable';

/** Who vouches for a machine, and for which one. */
export interface AttestedMachine {
  readonly method: 'aws-iid' | 'azure-imds' | 'k8s-sat';
  /** Stable name of the machine or pod; one node may be enrolled for it at a time. */
  readonly subject: string;
  /** What the evidence says, for selectors and the audit log. */
  readonly claims: Readonly<Record<string, string>>;
}

export type AttestationVerdict = { readonly ok: true; readonly machine: AttestedMachine } | { readonly ok: false; readonly fault: AttestationFault; readonly message: string };

/** Thrown inside this folder only; the verifiers answer with a verdict. */
export class AttestationRefused extends Error {
  readonly fault: AttestationFault;

  constructor(fault: AttestationFault, message: string) {
    super(message);
    this.name = 'AttestationRefused';
    this.fault = fault;
  }
}

/** Evidence is small: an identity document with its chain has some 8 KiB. */
export const MAX_EVIDENCE_BYTES = 64 * 1024;

export async function verdictOf(check: () => AttestedMachine | Promise<AttestedMachine>): Promise<AttestationVerdict> {
  try {
    return { ok: true, machine: await check() };
  } catch (error) {
    if (error instanceof AttestationRefused) return { ok: false, fault: error.fault, message: error.message };
    throw error;
  }
}

/** A JSON object of texts, numbers and objects; nothing else is read from evidence. @throws AttestationRefused */
export function parseObject(bytes: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new AttestationRefused('malformed', `${what} is not JSON.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new AttestationRefused('malformed', `${what} is not an object.`);
  return value as Readonly<Record<string, unknown>>;
}

/** @throws AttestationRefused `malformed` */
export function textOf(object: Readonly<Record<string, unknown>>, name: string): string {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  if (typeof value !== 'string' || value === '' || value.length > 1024) throw new AttestationRefused('malformed', `The evidence has no usable ${name}.`);
  return value;
}
