const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What is no UUID cannot be the id of anything, so it is "not found" rather than a database error. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
