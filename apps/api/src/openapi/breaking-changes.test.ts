import { describe, expect, it } from 'vitest';
import { breakingChanges, type ComparedDocument } from './breaking-changes.ts';

type Operation = ComparedDocument['paths'][string][string];

const base: Operation = {
  parameters: [{ name: 'limit', in: 'query' }],
  requestBody: { content: { 'application/json': { schema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] } } } },
  responses: { '200': { content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } } },
};
const thing = { type: 'object', properties: { id: { type: 'string' }, at: { type: ['string', 'null'] }, tags: { type: 'array', items: { type: 'string' } } }, required: ['id'] };
const document = (operation: Operation = base, schema: object = thing): ComparedDocument => ({ paths: { '/things': { get: operation } }, components: { schemas: { Thing: schema } } });
const withBody = (schema: object): Operation => ({ ...base, requestBody: { content: { 'application/json': { schema } } } });

describe('breakingChanges', () => {
  it('finds none between equal documents, nor in additions', () => {
    expect(breakingChanges(document(), document())).toEqual([]);
    const more = document(
      { ...withBody({ type: 'object', properties: { name: { type: 'string' }, colour: { type: 'string' } }, required: ['name'] }), parameters: [{ name: 'limit', in: 'query' }, { name: 'colour', in: 'query' }] },
      { ...thing, properties: { ...thing.properties, extra: { type: 'string' } }, required: ['id', 'extra'] },
    );
    expect(breakingChanges(document(), more)).toEqual([]);
  });

  it.each<[string, ComparedDocument, string]>([
    ['a removed operation', { paths: {} }, 'GET /things is gone'],
    ['a removed parameter', document({ ...base, parameters: [] }), 'GET /things: parameter limit is gone'],
    ['a newly required parameter', document({ ...base, parameters: [{ name: 'limit', in: 'query', required: true }] }), 'GET /things: parameter limit is newly required'],
    ['a newly required field', document(withBody({ type: 'object', properties: { name: { type: 'string' }, kind: { type: 'string' } }, required: ['name', 'kind'] })), 'GET /things request: kind is newly required'],
    ['a field that is not taken any more', document(withBody({ type: 'object', properties: {} })), 'GET /things request: name is not taken any more'],
    ['a removed response field', document(base, { ...thing, properties: { id: { type: 'string' }, at: thing.properties.at } }), 'GET /things 200/tags is gone'],
    ['a response field that may be absent', document(base, { ...thing, required: [] }), 'GET /things 200/id may now be absent'],
    ['a response field of another type', document(base, { ...thing, properties: { ...thing.properties, id: { type: 'integer' } } }), 'GET /things 200/id was string and is integer'],
    ['a response field that may now be null', document(base, { ...thing, properties: { ...thing.properties, id: { type: ['string', 'null'] } } }), 'GET /things 200/id was string and is string or null'],
    ['another type in a list', document(base, { ...thing, properties: { ...thing.properties, tags: { type: 'array', items: { type: 'integer' } } } }), 'GET /things 200/tags[] was string and is integer'],
  ])('finds %s', (_, after, sentence) => {
    expect(breakingChanges(document(), after)).toEqual([sentence]);
  });
});
