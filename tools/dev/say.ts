/** Tells the person at the terminal what set-up does. Standard error: standard output belongs to the command. */
export function say(sentence: string): void {
  process.stderr.write(`dev: ${sentence}\n`);
}
