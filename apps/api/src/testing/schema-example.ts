import type { OpenAPIObject } from '@nestjs/swagger';

export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
}

const FORMATS: Readonly<Record<string, string>> = {
  uuid: '01980000-0000-7000-8000-000000000000',
  'date-time': '2030-01-01T00:00:00Z',
  ipv4: '192.0.2.1',
};

/** The smallest value a schema takes: required fields only. */
export function exampleOf(schema: JsonSchema, document: OpenAPIObject): unknown {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return exampleOf((document.components?.schemas?.[name] ?? {}) as JsonSchema, document);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const [choice] = schema.anyOf ?? schema.oneOf ?? schema.allOf ?? [];
  if (choice !== undefined) return exampleOf(choice, document);
  switch (schema.type) {
    case 'object':
      return withPortOfTransport(Object.fromEntries((schema.required ?? []).map((field) => [field, exampleOf(schema.properties?.[field] ?? {}, document)])));
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, () => exampleOf(schema.items ?? {}, document));
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return true;
    default:
      return FORMATS[schema.format ?? ''] ?? 'example';
  }
}

/** JSON Schema cannot say it as written: TCP needs a port. */
function withPortOfTransport(value: Record<string, unknown>): Record<string, unknown> {
  return value['protocol'] === 'TCP' ? { ...value, port: 80 } : value;
}
