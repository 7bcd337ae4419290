import { localSigner, type Signer } from '@palisade/bundle';
import { readKeyFile } from './key-file.ts';

/** Signs with a key in a file of mode 0600: the embedded default. @throws DomainError `request.invalid` */
export function openFileSigner(path: string): Signer {
  return localSigner(readKeyFile(path));
}
