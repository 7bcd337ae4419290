/** What is not exactly HTTP/1 as RFC 9112 has it. It is answered with `status`, and the connection ends. */
export class Malformed extends Error {
  readonly status: 400 | 403 | 405 | 414 | 417 | 431 | 501 | 505;

  constructor(message: string, status: Malformed['status'] = 400) {
    super(message);
    this.name = 'Malformed';
    this.status = status;
  }
}
