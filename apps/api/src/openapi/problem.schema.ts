import { CATALOGUE, type ErrorCode } from '@palisade/errors';
import { z } from 'zod';

const codes = Object.keys(CATALOGUE) as [ErrorCode, ...ErrorCode[]];

const faultSchema = z
  .object({
    code: z.string(),
    detail: z.string(),
    pointer: z.string().optional(),
    document: z.int().optional(),
    line: z.int().optional(),
    column: z.int().optional(),
  })
  .meta({ id: 'Fault' });

/** RFC 9457. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(codes),
    detail: z.string(),
    instance: z.string(),
    pointer: z.string().optional(),
    params: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    errors: z.array(faultSchema).optional(),
  })
  .meta({ id: 'Problem' });
