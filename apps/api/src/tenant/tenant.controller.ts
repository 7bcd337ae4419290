import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadTenant } from '@palisade/control';
import { PERMISSIONS, ROLES, rolesAllow, type Permission, type TenantContext } from '@palisade/tenancy';
import { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';

const permissions = Object.keys(PERMISSIONS) as [Permission, ...Permission[]];

const selfSchema = z
  .object({
    tenant: z.object({ id: z.string(), name: z.string(), createdAt: z.string() }),
    actor: z.object({
      kind: z.enum(['person', 'token', 'agent', 'system']),
      id: z.string(),
      name: z.string(),
      roles: z.array(z.enum(ROLES)),
      permissions: z.array(z.enum(permissions)),
      clusters: z.array(z.string()).optional().describe('Absent: all'),
      namespaces: z.array(z.string()).optional().describe('Absent: all'),
    }),
  })
  .meta({ id: 'Self' });

@ApiTags('tenant')
@Controller('v1/self')
export class TenantController {
  readonly #read: ReadTenant;

  constructor(read: ReadTenant) {
    this.#read = read;
  }

  @Get()
  @Operation({ id: 'getSelf', summary: 'Read who calls: tenant, roles, permissions and scope', permission: 'tenant:read', response: selfSchema })
  async get(@InTenant() context: TenantContext) {
    const { id, name, createdAt } = await this.#read.execute(context);
    const { scope, ...actor } = context.actor;
    return {
      tenant: { id, name, createdAt: createdAt.toISOString() },
      actor: {
        ...actor,
        permissions: permissions.filter((permission) => rolesAllow(actor.roles, permission)),
        ...(scope.clusters === 'all' ? {} : { clusters: scope.clusters }),
        ...(scope.namespaces === 'all' ? {} : { namespaces: scope.namespaces }),
      },
    };
  }
}
