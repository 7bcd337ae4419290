/** Number of a routing domain in kernel keys: FNV-1a of its name, so that it is the same after every restart. */
export function networkNumber(network: string): number {
  let number = 0x811c9dc5;
  for (let at = 0; at < network.length; at += 1) number = Math.imul(number ^ network.charCodeAt(at), 0x01000193) >>> 0;
  return number;
}
