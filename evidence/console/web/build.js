// Bundles each page's script into ../assets, with the licences of what is in them.
import { build } from 'esbuild'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

// Each file here but this one is the script of a page; lib/ is what they share.
const entries = readdirSync('.').filter((f) => f.endsWith('.js') && f !== 'build.js')
const result = await build({
  entryPoints: entries, bundle: true, format: 'esm', target: 'es2022', minify: true, charset: 'utf8',
  legalComments: 'none', outdir: '../assets', metafile: true, logLevel: 'warning',
})

const packages = new Set()
for (const input of Object.keys(result.metafile.inputs)) {
  const m = input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)
  if (m) packages.add(m[1])
}
let text = 'What the scripts of the console have in them beside their own.\n'
for (const name of [...packages].sort()) {
  const dir = `node_modules/${name}`
  const { version, license } = JSON.parse(readFileSync(`${dir}/package.json`))
  const file = readdirSync(dir).find((f) => /^(licen[cs]e|copying)/i.test(f))
  if (!file) throw new Error(`${name} has no licence file`)
  text += `\n${name} ${version} (${license})\n\n${readFileSync(`${dir}/${file}`, 'utf8').trim()}\n`
}
if (!packages.size) text += '\nNothing.\n'
writeFileSync('../assets/licences.txt', text)
