import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError, listenAddress, postgresUrl, readConfig } from './config.ts';

const schema = z.object({ DATABASE_URL: postgresUrl, LISTEN: listenAddress.prefault('127.0.0.1:7080'), LIMIT: z.coerce.number().int().min(1).default(5) });

describe('readConfig', () => {
  it('fills in defaults and ignores variables that are not its own', () => {
    expect(readConfig(schema, { DATABASE_URL: 'postgres://u:p@h/d', HOME: '/x', LIMIT: '' })).toEqual({
      DATABASE_URL: 'postgres://u:p@h/d',
      LISTEN: { host: '127.0.0.1', port: 7080 },
      LIMIT: 5,
    });
  });

  it('reports all faults at once, without the values', () => {
    try {
      readConfig(schema, { LISTEN: 'nowhere:99999', LIMIT: 's3cret' });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      const { faults } = error as ConfigError;
      expect(faults.map((fault) => fault.split(/[: ]/)[0])).toEqual(['DATABASE_URL', 'LISTEN', 'LIMIT']);
      expect(faults.join()).not.toContain('s3cret');
    }
  });

  it.each([['[::1]:7080', '::1', 7080], ['0.0.0.0:0', '0.0.0.0', 0], ['localhost:65535', 'localhost', 65535]])('reads the address %s', (text, host, port) => {
    expect(listenAddress.parse(text)).toEqual({ host, port });
  });
});
