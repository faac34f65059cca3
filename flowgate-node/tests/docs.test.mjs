// Runs every block of JavaScript in the README and in `docs/`, each in an empty directory.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = ['README.md', 'flowgate-node/README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]
const block = /^(?:<!-- (.*) -->\n)?```js\n([^]*?)^```/gm

/** Runs the code where `import 'flowgate'` finds this package. */
function run(code) {
  const directory = mkdtempSync(join(tmpdir(), 'flowgate-docs-'))
  try {
    mkdirSync(join(directory, 'node_modules'))
    symlinkSync(join(root, 'flowgate-node'), join(directory, 'node_modules', 'flowgate'))
    writeFileSync(join(directory, 'block.mjs'), code)
    const env = { ...process.env, HOME: directory, NODE_TEST_CONTEXT: undefined }
    return spawnSync(process.execPath, ['block.mjs'], { cwd: directory, env, encoding: 'utf8', timeout: 60_000 })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

for (const page of pages.filter((name) => name.endsWith('.md'))) {
  for (const found of readFileSync(join(root, page), 'utf8').matchAll(block)) {
    if (found[1]?.startsWith('not run: ')) continue
    const line = found.input.slice(0, found.index).split('\n').length
    test(`${page}:${line} runs`, () => {
      const { status, stdout, stderr } = run(found[2])
      assert.equal(status, 0, stdout + stderr)
    })
  }
}
