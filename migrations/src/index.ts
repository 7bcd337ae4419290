/** In order; the index is explicit so that a merge conflict shows two steps with one number. */
export const MIGRATIONS = [];
