import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'

import * as flowgate from 'flowgate'
import { Config, ConfigError, FileError, FlowgateError, merge, migrate, ProfileError, resolvePath, STARTER } from 'flowgate'

const config = Config.fromYaml(STARTER)
const SECRET = 'sk-do-not-show'

test('a configuration with mistakes says all of them, with their places', () => {
  const error = thrown(() => Config.fromYaml('config_version: 2\nprofile: {}\npaths: 5\n', { file: 'a.yaml' }))
  assert(error instanceof ConfigError && error instanceof FlowgateError && error instanceof Error)
  assert.equal(error.name, 'ConfigError')
  assert.equal(error.code, 'config.invalid')
  assert.match(error.message, /^invalid configuration: a\.yaml:2:1: unknown key `profile`/)
  assert.match(error.stack, /^ConfigError: invalid configuration/)
  const [first, second] = error.diagnostics
  assert.deepEqual(first, {
    severity: 'error',
    code: 'config.unknown_key',
    message: 'unknown key `profile`',
    file: 'a.yaml',
    line: 2,
    column: 1,
    endLine: 2,
    endColumn: 8,
    path: 'profile',
    hint: 'did you mean `profiles`?',
    related: [],
  })
  assert.equal(second.line, 3)
})

test('a second place is related', () => {
  const error = thrown(() => Config.fromYaml('config_version: 2\nconfig_version: 2\n'))
  const [{ related: [first] }] = error.diagnostics
  assert.deepEqual([first.line, first.column, first.endLine, first.endColumn], [1, 1, 1, 15])
  assert.equal(typeof first.message, 'string')
})

test('every module has its class', async () => {
  const unknown = thrown(() => config.profile('balance'))
  assert(unknown instanceof ProfileError)
  assert.equal(unknown.code, 'profile.unknown')
  assert.match(unknown.message, /did you mean `balanced`/)
  assert.deepEqual(unknown.diagnostics, [])

  for (const missing of [thrown(() => Config.loadSync('/no/such')), await rejected(Config.load('/no/such'))]) {
    assert(missing instanceof FileError)
    assert.equal(missing.code, 'runtime.cannot_read')
    assert.equal(missing.path, '/no/such')
  }
  assert(thrown(() => migrate('a: [')) instanceof ConfigError)
  assert(thrown(() => resolvePath('~/x', { dir: '/' })) instanceof ConfigError)
})

test('a rejection leads back to its caller', async () => {
  async function caller() {
    await Config.load('/no/such')
  }
  const error = await rejected(caller())
  assert.match(error.stack, /at async caller/)
})

test('errors can be made, with a cause', () => {
  const cause = thrown(() => Config.fromYaml('- a\n'))
  const error = new FileError('cannot read `x`', { code: 'runtime.cannot_read', path: 'x', cause })
  assert.equal(error.cause, cause)
  assert.deepEqual([error.name, error.path, error.diagnostics], ['FileError', 'x', []])
  assert(!('cause' in new FlowgateError('x', { code: 'x' })))
  assert.match(inspect(error), /\[cause\]: ConfigError: invalid configuration/)
})

test('a wrong argument is a TypeError', async () => {
  const profile = config.profile('cost')
  const calls = [
    () => new Config(),
    () => new flowgate.Profile({}, 'x'),
    () => Config.loadSync(5),
    () => Config.fromYaml(Buffer.from('a: 1')),
    () => Config.fromYaml('a: 1', { file: 5 }),
    () => Config.fromYaml('a: 1', null),
    () => config.profile(),
    () => config.profile.call({}, 'cost'),
    () => profile.diff(config),
    () => profile.diff({}),
    () => profile.render(),
    () => profile.render('x'),
    () => profile.render({ cliproxy: 5 }),
    () => merge(),
    () => merge({}, undefined),
    () => merge({ a: new Map() }, {}),
    () => merge({ a: new Date(0) }, {}),
    () => merge({ a: () => 1 }, {}),
    () => merge({ a: Symbol('a') }, {}),
    () => merge({ '\ud800': 1, '\udbff': 2 }, {}),
    () => migrate(5),
    () => resolvePath(5, { dir: '/' }),
    () => resolvePath('a'),
    () => resolvePath('a', { dir: '/', home: 5 }),
    () => flowgate.activeProfile({}),
  ]
  for (const call of calls) assert.throws(call, TypeError, call.toString())
  await assert.rejects(Config.load(), TypeError)
  await assert.rejects(flowgate.activate(config), TypeError)
  await assert.rejects(flowgate.activate({}, 'cost'), TypeError)
})

test('a document too large for the core is a RangeError', () => {
  const round = {}
  round.round = [round]
  // Small in memory, for it is shared, and too large to write down.
  const shared = Array.from({ length: 100 }).reduce((below) => [below, below], null)
  for (const document of [NaN, -Infinity, 1n << 127n, -(1n << 200n), round, shared, new Array(2 ** 32 - 1)]) {
    assert.throws(() => merge(document, {}), RangeError)
  }
})

test('what a getter throws comes through', () => {
  const mine = new Error('mine')
  const document = {
    get a() {
      throw mine
    },
  }
  assert.equal(thrown(() => merge(document, {})), mine)
})

test('strange text is an answer or an error, and never the end of the process', async () => {
  const texts = ['', '\0', '\ud800', 'a: \udfff', '\u{1f600}: 1', '\ufeffa: 1', '['.repeat(1e5), '&a [*a]', 'x'.repeat(1 << 26)]
  for (const text of texts) {
    const calls = [
      () => Config.fromYaml(text),
      () => Config.fromYaml(STARTER, { file: text }),
      () => Config.loadSync(text),
      () => Config.load(text),
      () => config.profile(text),
      () => config.profile('cost').render({ [text]: text, cliproxy: 'x' }),
      () => flowgate.activate(config, text),
      () => merge({ [text]: text }, text),
      () => migrate(text),
      () => resolvePath(text, { dir: text, home: text }),
    ]
    for (const call of calls) {
      try {
        await call()
      } catch (error) {
        assert(error instanceof FlowgateError || error instanceof TypeError, error)
      }
    }
  }
  assert.equal(thrown(() => Config.fromYaml('x'.repeat(1 << 26))).diagnostics[0].code, 'yaml.too_large')
})

test('secrets are never shown', () => {
  const text = `
config_version: 2
credentials: { upstream: { a: { env: A }, b: { env: B } } }
litellm_base:
  model_list:
    - { model_name: m, litellm_params: { api_key_ref: a } }
    - { model_name: n, litellm_params: { api_key_ref: b } }
    - { model_name: o, litellm_params: { api_key: ${SECRET} } }
profiles: { p: {} }
`
  const config = Config.fromYaml(text)
  const profile = config.profile('p')
  assert.match(profile.render({ a: SECRET, b: 'x' }), new RegExp(SECRET))
  const missing = thrown(() => profile.render({ a: SECRET }))
  assert.equal(missing.code, 'profile.credentials')
  assert.match(missing.message, /`b`/)
  const shown = [
    config,
    profile,
    config.diagnostics,
    missing,
    thrown(() => profile.render({ a: SECRET, b: `${SECRET}\ud800` })),
    thrown(() => profile.render({ a: [SECRET], b: 'x' })),
    thrown(() => profile.render(SECRET)),
    thrown(() => Config.fromYaml(text.replace('{ p: {} }', SECRET))),
    thrown(() => Config.fromYaml(`config_version: 2\nlitellm_base: { model_list: ["${SECRET}"] }\n`)),
  ]
  for (const value of shown) {
    assert(!inspect(value, { depth: null, showHidden: true }).includes(SECRET), inspect(value))
    if (value instanceof Error || Array.isArray(value)) assert(!JSON.stringify(value).includes(SECRET))
  }
})

function thrown(call) {
  try {
    call()
  } catch (error) {
    return error
  }
  assert.fail('nothing was thrown')
}

async function rejected(promise) {
  return promise.then(() => assert.fail('nothing was thrown'), (error) => error)
}
