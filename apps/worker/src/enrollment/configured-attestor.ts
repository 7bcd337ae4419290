import { readFileSync } from 'node:fs';
import { verifyAwsIdentity, verifyAzureAttested, verifyServiceAccountToken, type AttestationVerdict } from '@palisade/cloud';
import type { AttestationEvidence, Attestor } from '@palisade/control';
import { z } from 'zod';

const schema = z.strictObject({
  aws: z.strictObject({ certificates: z.record(z.string(), z.string()), accounts: z.array(z.string()).optional() }).optional(),
  azure: z.strictObject({ roots: z.array(z.string()), subscriptions: z.array(z.string()).optional() }).optional(),
  kubernetes: z.strictObject({ issuer: z.string(), audience: z.string(), keys: z.array(z.record(z.string(), z.unknown())), serviceAccounts: z.array(z.string()) }).optional(),
});

type Trusted = z.output<typeof schema>;

/** Verifies evidence against the authorities of one file; what the file does not name is not believed. */
export class ConfiguredAttestor implements Attestor {
  readonly #trusted: Trusted;

  private constructor(trusted: Trusted) {
    this.#trusted = trusted;
  }

  /** @param file absent: no evidence is believed, and tokens that demand some enroll nobody */
  static open(file: string | undefined): ConfiguredAttestor {
    return new ConfiguredAttestor(file === undefined ? {} : schema.parse(JSON.parse(readFileSync(file, 'utf8'))));
  }

  async verify({ type, document }: AttestationEvidence, nonce: string): Promise<AttestationVerdict | { readonly ok: false; readonly message: string }> {
    const { aws, azure, kubernetes } = this.#trusted;
    const nowMs = Date.now();
    if (type === 'aws-iid' && aws !== undefined) return verifyAwsIdentity(document, { certificates: aws.certificates, ...(aws.accounts && { accounts: aws.accounts }) });
    if (type === 'azure-imds' && azure !== undefined) return verifyAzureAttested(document, { roots: azure.roots, nonce, nowMs, ...(azure.subscriptions && { subscriptions: azure.subscriptions }) });
    if (type === 'k8s-sat' && kubernetes !== undefined) return verifyServiceAccountToken(Buffer.from(document).toString('utf8'), { ...kubernetes, nowMs });
    return { ok: false, message: `This installation is not set up for ${type} evidence (PALISADE_ATTESTATION_FILE).` };
  }
}
