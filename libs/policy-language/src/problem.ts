/** What is wrong with an input, said so that its author can mend it. */
export interface Problem {
  /** An error refuses the object; a warning does not. */
  readonly severity: 'error' | 'warning';
  /** Position of the YAML document in the input, from 0. */
  readonly document: number;
  /** From 1; 0 where the input has no text (values instead of text). */
  readonly line: number;
  readonly column: number;
  /** RFC 6901, from the root of the document. */
  readonly pointer: string;
  readonly code: ProblemCode;
  /** A sentence: what is wrong and what to write instead. */
  readonly message: string;
}

export type ProblemCode =
  | 'input.too-large'
  | 'input.too-deep'
  | 'input.too-many-documents'
  | 'yaml.syntax'
  | 'yaml.duplicate-key'
  | 'yaml.alias'
  | 'kind.unsupported'
  | 'field.unknown'
  | 'field.missing'
  | 'field.exclusive'
  | 'field.null'
  | 'value.type'
  | 'value.enum'
  | 'value.range'
  | 'value.format'
  | 'list.length'
  | 'list.duplicate'
  | 'selector.invalid'
  | 'peer.combination'
  | 'cidr.invalid'
  | 'cidr.except'
  | 'port.invalid'
  | 'icmp.invalid'
  | 'fqdn.invalid'
  | 'l7.invalid'
  | 'policy.empty'
  | 'policy.scope'
  | 'policy.duplicate'
  | 'feature.removed'
  | 'feature.not-enforced';
