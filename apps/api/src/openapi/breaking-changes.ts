interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly items?: Schema;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
}

interface Body {
  readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>;
}

interface OpenApiOperation {
  readonly operationId?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Body;
  readonly responses?: Readonly<Record<string, Body>>;
}

/** The part of an OpenAPI document that the comparison reads. */
export interface ComparedDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

/**
 * What would break a client of `before` when the server becomes `after`: an operation, response field or accepted value
 * that is gone, a request field or parameter that is newly required. One sentence each.
 */
export function breakingChanges(before: ComparedDocument, after: ComparedDocument): string[] {
  return Object.entries(before.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, old]) => {
      const now = after.paths[path]?.[method];
      const place = `${method.toUpperCase()} ${path}`;
      if (now === undefined) return [`${place} is gone`];
      return [
        ...parameterChanges(place, old, now),
        ...requestChanges(`${place} request`, schemaOf(old.requestBody), schemaOf(now.requestBody), before, after),
        ...Object.entries(old.responses ?? {})
          .filter(([status]) => status.startsWith('2'))
          .flatMap(([status, response]) => responseChanges(`${place} ${status}`, schemaOf(response), schemaOf(now.responses?.[status]), before, after, 0)),
      ];
    }),
  );
}

function parameterChanges(place: string, old: OpenApiOperation, now: OpenApiOperation): string[] {
  const known = (list: readonly Parameter[] | undefined, { name, in: where }: Parameter): Parameter | undefined => list?.find((other) => other.name === name && other.in === where);
  const gone = (old.parameters ?? []).filter((parameter) => known(now.parameters, parameter) === undefined).map(({ name }) => `${place}: parameter ${name} is gone`);
  const required = (now.parameters ?? [])
    .filter((parameter) => parameter.required === true && known(old.parameters, parameter)?.required !== true)
    .map(({ name }) => `${place}: parameter ${name} is newly required`);
  return [...gone, ...required];
}

function requestChanges(place: string, old: Schema | undefined, now: Schema | undefined, before: ComparedDocument, after: ComparedDocument): string[] {
  const a = resolve(old, before);
  const b = resolve(now, after);
  const newlyRequired = (b?.required ?? []).filter((name) => !(a?.required ?? []).includes(name)).map((name) => `${place}: ${name} is newly required`);
  const gone = Object.keys(a?.properties ?? {}).filter((name) => b?.properties !== undefined && !(name in b.properties)).map((name) => `${place}: ${name} is not taken any more`);
  return [...newlyRequired, ...gone];
}

function responseChanges(place: string, old: Schema | undefined, now: Schema | undefined, before: ComparedDocument, after: ComparedDocument, depth: number): string[] {
  const a = resolve(old, before);
  if (a === undefined || depth > 8) return [];
  const b = resolve(now, after);
  if (b === undefined) return [`${place} is gone`];
  const [types, newTypes] = [typesOf(a), typesOf(b)];
  const isWider = types.length > 0 && newTypes.some((type) => !types.includes(type));
  const changed = isWider ? [`${place} was ${types.join(' or ')} and is ${newTypes.join(' or ')}`] : [];
  const fields = Object.entries(a.properties ?? {}).flatMap(([name, child]) =>
    b.properties?.[name] === undefined ? [`${place}/${name} is gone`] : responseChanges(`${place}/${name}`, child, b.properties[name], before, after, depth + 1),
  );
  const optional = (a.required ?? []).filter((name) => b.properties?.[name] !== undefined && !(b.required ?? []).includes(name)).map((name) => `${place}/${name} may now be absent`);
  const items = a.items === undefined ? [] : responseChanges(`${place}[]`, a.items, b.items, before, after, depth + 1);
  return [...changed, ...fields, ...optional, ...items];
}

function typesOf({ type }: Schema): readonly string[] {
  if (type === undefined) return [];
  return typeof type === 'string' ? [type] : type;
}

function schemaOf(body: Body | undefined): Schema | undefined {
  return Object.values(body?.content ?? {})[0]?.schema;
}

function resolve(schema: Schema | undefined, document: ComparedDocument): Schema | undefined {
  const name = schema?.$ref?.split('/').at(-1);
  return name === undefined ? schema : document.components?.schemas?.[name];
}
