import { DomainError } from '@palisade/errors';

declare const tenantIdBrand: unique symbol;

/** A tenant's UUID in lower case. Made only by `parseTenantId`, so a value of this type is known to be well-formed. */
export type TenantId = string & { readonly [tenantIdBrand]: true };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Throws `request.invalid` when the text is not a UUID. */
export function parseTenantId(text: string): TenantId {
  const id = text.toLowerCase();
  if (!UUID.test(id)) {
    throw new DomainError('request.invalid', `'${text}' is not a tenant id: expected a UUID such as 0198c0de-0000-7000-8000-000000000000.`);
  }
  return id as TenantId;
}
