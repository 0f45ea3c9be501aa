// Prints what Graphviz or Mermaid draws of a text, as {"nodes": [what is written in each box], "edges": how many arrows}.
import { readFileSync } from 'node:fs'
import { JSDOM } from 'jsdom'

const [program, file] = process.argv.slice(2)
const text = readFileSync(file, 'utf8')
const { window } = new JSDOM('<body></body>')

// jsdom draws nothing, so it does not know how large a text is.
const size = { x: 0, y: 0, width: 100, height: 20 }
Object.assign(window.Element.prototype, { getBBox: () => size, getComputedTextLength: () => size.width })
for (const name of ['window', 'document', 'Element', 'SVGElement', 'HTMLElement', 'Node', 'DOMParser', 'XMLSerializer', 'CSSStyleSheet'])
  globalThis[name] ??= name === 'window' ? window : window[name]

async function graphviz() {
  const { Graphviz } = await import('@hpcc-js/wasm-graphviz')
  return { svg: (await Graphviz.load()).dot(text), nodes: 'g.node', edges: 'g.edge', lines: 'text' }
}

async function mermaid() {
  const mermaid = (await import('mermaid')).default
  mermaid.initialize({ startOnLoad: false, securityLevel: 'strict', maxTextSize: 1e7, maxEdges: 1e5 })
  return { svg: (await mermaid.render('drawn', text)).svg, nodes: 'g.node', edges: 'path.flowchart-link' }
}

const drawn = await { graphviz, mermaid }[program]()
const page = new JSDOM(drawn.svg).window.document
const said = (box) => (drawn.lines ? [...box.querySelectorAll(drawn.lines)].map((l) => l.textContent).join('\n') : box.textContent)
console.log(JSON.stringify({ nodes: [...page.querySelectorAll(drawn.nodes)].map(said), edges: page.querySelectorAll(drawn.edges).length }))
process.exit(0)
