import { createPrivateKey } from 'node:crypto';
import { localSigner, parseGeneration, sealNodeObservation, type Signer } from '@palisade/bundle';
import type { Observation } from './observe.ts';

/** Signs what this node says of its bundle with the key it enrolled with, so that nobody on the way can say otherwise. */
export class ObservationSigner {
  readonly #signer: Signer;
  readonly #who: { readonly nodeId: string; readonly bootId: string; readonly boot: number };
  #sequence = 0;

  constructor(options: { readonly privateKeyPem: string; readonly nodeId: string; readonly bootId: string; readonly boot: number }) {
    const { privateKeyPem, ...who } = options;
    this.#signer = localSigner(createPrivateKey(privateKeyPem));
    this.#who = who;
  }

  /** @returns the DSSE envelope of the next statement */
  sign({ running, report, deniedPackets }: Observation): Promise<Uint8Array> {
    this.#sequence += 1;
    const generation = (text: string | undefined) => (text === undefined ? null : parseGeneration(text));
    return sealNodeObservation(
      {
        ...this.#who,
        sequence: this.#sequence,
        generation: generation(running.generation),
        contentDigest: running.contentDigest ?? '',
        state: report.state,
        subjectGeneration: report.subject === running.generation ? null : generation(report.subject),
        reason: report.reason ?? '',
        deniedPackets,
      },
      this.#signer,
    );
  }
}
