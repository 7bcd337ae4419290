import { hkdfSync } from 'node:crypto';
import { Global, Module } from '@nestjs/common';
import { API_CONFIG } from '../application-parts.ts';
import type { ApiConfig } from '../config.ts';
import { CursorCodec } from './cursor-codec.ts';
import { Paging } from './page.ts';

@Global()
@Module({
  providers: [
    {
      provide: Paging,
      inject: [API_CONFIG],
      useFactory: (config: ApiConfig) => {
        const secret = config.PALISADE_API_SECRET ?? config.DATABASE_URL;
        return new Paging(new CursorCodec(Buffer.from(hkdfSync('sha256', secret, 'palisade-api', 'cursor', 32))));
      },
    },
  ],
  exports: [Paging],
})
export class PagingModule {}
