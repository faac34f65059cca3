// The vectors that every language runs.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { Config, Guard, merge, ProfileError, resolvePath } from 'flowgate'

const testdata = (file) => JSON.parse(readFileSync(new URL(`../../flowgate-core/testdata/${file}`, import.meta.url)))
const vectors = testdata('vectors.json')

for (const { name, yaml, ok, problems, document } of vectors.config) {
  test(`config: ${name}`, () => {
    const read = attempt(() => Config.fromYaml(yaml))
    assert.equal(read instanceof Config, ok)
    const found = read.diagnostics.map(({ code, line, column }) => [code, line, column])
    assert.deepEqual(found, problems)
    if (document) assert.deepEqual(read.toJSON(), document)
  })
}

for (const { name, base, overlay, merged, warnings } of vectors.merge) {
  test(`merge: ${name}`, () => {
    const result = merge(base, overlay)
    // As text, because the order of keys counts.
    assert.equal(JSON.stringify(result.merged), JSON.stringify(merged))
    assert.deepEqual(result.warnings.map(({ code }) => code), warnings)
  })
}

for (const { name, dir, home, path, resolved } of vectors.paths) {
  test(`paths: ${name}`, () => {
    const found = attempt(() => resolvePath(path, { dir, home }))
    assert.equal(found instanceof Error ? null : found, resolved)
  })
}

const { yaml, secrets, cases, diff } = vectors.profile
const config = Config.fromYaml(yaml)

for (const { name, error, rendered, document, origins } of cases) {
  test(`profile: ${name}`, () => {
    const profile = attempt(() => config.profile(name))
    if (error) {
      assert(profile instanceof ProfileError)
      assert.equal(profile.code, error)
      return
    }
    assert.equal(profile.render(secrets), rendered)
    assert.equal(JSON.stringify(profile), JSON.stringify(document))
    assert.deepEqual(profile.origins.map(({ path, layer, line }) => [path, layer, line]), origins)
  })
}

test('profile: diff', () => {
  const changes = config.profile(diff.before).diff(config.profile(diff.after))
  assert.deepEqual(
    changes.map(({ path, kind, before = null, after = null }) => [path, kind, before, after]),
    diff.changes,
  )
})

const guard = new Guard()

for (const { name, command, cwd, home, decision, rule } of testdata('guard_vectors.json')) {
  test(`guard: ${name}`, () => {
    const verdict = guard.check(command, { cwd, home })
    assert.deepEqual([verdict.decision, verdict.rule], [decision, rule])
    assert.deepEqual(guard.checkBatch([command], { cwd, home }), [verdict])
  })
}

function attempt(call) {
  try {
    return call()
  } catch (error) {
    return error
  }
}
