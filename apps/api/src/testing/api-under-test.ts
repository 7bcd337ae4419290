import { mintToken, type TokenParts } from '@palisade/control';
import { createLogger } from '@palisade/nest-kit';
import { inTenantTransaction, openDatabase, postgresApiTokens } from '@palisade/store';
import { parseTenantId, systemContext, WHOLE_TENANT, type Role, type Scope, type TenantId } from '@palisade/tenancy';
import type { Type } from '@nestjs/common';
import supertest from 'supertest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { AppModule } from '../app.module.ts';
import { createApplication, type Application } from '../application.ts';
import { configSchema, type ApiConfig } from '../config.ts';

/** Stands around the application, with the routes that only a test has. */
class TestedModule {}

/** The whole API in this process on a database of its own. */
export interface ApiUnderTest extends Application {
  readonly database: TestDatabase;
  readonly request: ReturnType<typeof supertest>;
  /** Log lines so far. */
  readonly logs: string[];
  /** A tenant with a token of this role. */
  tenant(name: string, roles?: readonly Role[]): Promise<TestTenant>;
  token(tenantId: TenantId, roles: readonly Role[], scope?: Scope): Promise<string>;
  close(): Promise<void>;
}

export interface TestTenant {
  readonly tenantId: TenantId;
  /** Value of `Authorization`. */
  readonly authorization: string;
}

/** @param controllers routes that only a test has */
export async function startApi(settings: Partial<ApiConfig> = {}, controllers: Type[] = []): Promise<ApiUnderTest> {
  const database = await createTestDatabase();
  const config = { ...configSchema.parse({ DATABASE_URL: database.apiUrl, PALISADE_API_RATE: '100000' }), ...settings };
  const logs: string[] = [];
  const logger = createLogger('api', 'info', { write: (line: string) => void logs.push(line) });
  const source = await openDatabase({ url: config.DATABASE_URL, applicationName: 'api-test' });
  const parts = { config, source, logger };
  const application = await createApplication(parts, { module: TestedModule, imports: [AppModule.with(parts)], controllers });
  await application.app.init();
  await application.app.getHttpAdapter().getInstance().ready();
  const token = async (tenantId: TenantId, roles: readonly Role[], scope: Scope = WHOLE_TENANT): Promise<string> => {
    const minted = mintToken();
    await inTenantTransaction(source, systemContext(tenantId, 'test'), (session) => postgresApiTokens(session).insert(newToken(minted, roles, scope)));
    return `Bearer ${minted.text}`;
  };
  return {
    ...application,
    database,
    logs,
    request: supertest(application.app.getHttpServer()),
    token,
    async tenant(name, roles = ['owner']) {
      const { rows } = await withClient(database.adminUrl, (client) => client.query<{ tenant_id: string }>('INSERT INTO palisade.tenants (name) VALUES ($1) RETURNING tenant_id', [name]));
      const tenantId = parseTenantId(rows[0]?.tenant_id ?? '');
      return { tenantId, authorization: await token(tenantId, roles) };
    },
    async close() {
      await application.app.close();
      await source.destroy();
      await database.drop();
    },
  };
}

function newToken({ publicId, secretHash }: TokenParts, roles: readonly Role[], scope: Scope) {
  return { publicId, secretHash, name: `test ${roles.join(' ')}`, roles, scope, createdBy: 'test' };
}
