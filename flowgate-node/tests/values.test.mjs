import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createContext, runInContext } from 'node:vm'

import { Config, jsonSchema, merge, migrate, STARTER } from 'flowgate'

const identity = (document) => merge(document, {}).merged

test('integers keep every digit', () => {
  const text = (integer) => `config_version: 2\nx-n: ${integer}\n`
  const read = (integer) => Config.fromYaml(text(integer)).toJSON()['x-n']
  for (const safe of [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    assert.equal(read(safe), safe)
    assert.equal(identity({ safe }).safe, safe)
  }
  const { MAX_SAFE_INTEGER } = Number
  const large = [BigInt(MAX_SAFE_INTEGER) + 1n, -BigInt(MAX_SAFE_INTEGER) - 1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n, 2n ** 127n - 1n, -(2n ** 127n)]
  for (const integer of large) {
    assert.equal(read(integer), integer)
    assert.equal(identity({ integer }).integer, integer)
  }
  // A small `BigInt` comes back as what the number of this size is everywhere: a number.
  assert.equal(identity({ small: 5n }).small, 5)
  assert.throws(() => JSON.stringify(Config.fromYaml(text(2n ** 60n))), TypeError)
})

test('fractions, large numbers and text come back as they were', () => {
  const document = { fraction: 0.1, huge: 1e300, tiny: -5e-324, text: 'é\0\u{1f600}', 'key\0': [true, false, null, [], {}] }
  assert.deepEqual(identity(document), document)
})

test('keys keep their order and are only keys', () => {
  const document = JSON.parse('{"z": 1, "__proto__": {"polluted": true}, "constructor": 2, "a": 3}')
  const copy = identity(document)
  assert.deepEqual(Object.keys(copy), ['z', '__proto__', 'constructor', 'a'])
  assert.equal(Object.getPrototypeOf(copy), Object.prototype)
  assert.equal(copy.polluted, undefined)
  assert.equal(JSON.stringify(copy), JSON.stringify(document))
})

test('what JSON leaves out is left out', () => {
  const document = { a: undefined, b: [undefined, , 1], [Symbol('c')]: 1 }
  assert.deepEqual(identity(document), { b: [null, null, 1] })
})

test('plain objects of other realms and without prototype are documents', () => {
  assert.deepEqual(identity(runInContext('({ a: [1] })', createContext())), { a: [1] })
  assert.deepEqual(identity(Object.assign(Object.create(null), { a: 1 })), { a: 1 })
})

test('neither document is changed', () => {
  const freeze = (value) => Object.freeze(Object.fromEntries(Object.entries(value).map(([k, v]) => [k, v && typeof v === 'object' ? freeze(v) : v])))
  const { merged, warnings } = merge(freeze({ a: { b: 1, c: 2 } }), freeze({ a: { b: '$delete' }, d: '$delete' }))
  assert.deepEqual(merged, { a: { c: 2 } })
  assert.deepEqual([warnings[0].severity, warnings[0].path, warnings[0].line], ['warning', 'd', 0])
})

test('a configuration tells about itself', () => {
  const config = Config.fromYaml(STARTER, { file: 'flowgate.yaml' })
  assert.deepEqual(config.profiles, ['balanced', 'cost', 'reliability'])
  assert.equal(config.file, 'flowgate.yaml')
  assert.equal(Config.fromYaml(STARTER).file, null)
  assert.deepEqual(config.diagnostics, [])
  assert.deepEqual(config.profileDiagnostics(), [])
  assert.deepEqual(Object.keys(config.toJSON()).slice(0, 3), ['config_version', 'paths', 'services'])
  assert.equal(inspect(config, { breakLength: Infinity }), "Config { file: 'flowgate.yaml', profiles: [ 'balanced', 'cost', 'reliability' ] }")
})

test('a profile tells about itself', () => {
  const profile = Config.fromYaml(STARTER, { file: 'flowgate.yaml' }).profile('balanced')
  assert.equal(profile.name, 'balanced')
  assert.deepEqual(profile.references, ['cliproxy'])
  assert.deepEqual(profile.diagnostics, [])
  assert.equal(inspect(profile), "Profile { name: 'balanced' }")
  const retries = profile.origins.find(({ path }) => path === 'litellm_settings.num_retries')
  assert.deepEqual([retries.layer, retries.file], ['profiles.balanced', 'flowgate.yaml'])
  const line = STARTER.split('\n')[retries.line - 1]
  assert.equal(line.trim(), 'num_retries: 2')
  assert.equal(line.slice(retries.column - 1, retries.endColumn - 1), '2')
  assert.equal(profile.toJSON().litellm_settings.num_retries, 2)
})

test('a profile outlives the variable of its configuration', () => {
  const profile = Config.fromYaml(STARTER).profile('cost')
  globalThis.gc?.()
  assert.equal(profile.toJSON().litellm_settings.allowed_fails, 3)
})

test('a null that a change sets is there, and a value that is not there is not', () => {
  const config = Config.fromYaml('config_version: 2\nlitellm_base: {a: 1}\nprofiles: {p: {}, q: {a: null, b: ~}}\n')
  const changes = config.profile('p').diff(config.profile('q'))
  assert.deepEqual(changes, [
    { path: 'a', kind: 'changed', before: 1, after: null },
    { path: 'b', kind: 'added', after: null },
  ])
})

test('migration keeps comments', () => {
  const { text, changes, remaining } = migrate('config_version: 1  # old\nsecrets: [a.json]\nnonsense: 1\n')
  assert.equal(text, 'config_version: 2  # old\nsecret_files: [a.json]\nnonsense: 1\n')
  assert.equal(changes.length, 2)
  assert.deepEqual(remaining.map(({ code, line }) => [code, line]), [['config.unknown_key', 3]])
})

test('the schema is an object of its own each time', () => {
  assert.equal(typeof jsonSchema().properties.profiles, 'object')
  assert.notEqual(jsonSchema(), jsonSchema())
})
