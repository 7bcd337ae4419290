/** Tokens of what the whole process has once. */
export const API_CONFIG = Symbol('ApiConfig');
export const LOGGER = Symbol('Logger');
