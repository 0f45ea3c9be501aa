// The page of chains: zoom, drag, the time slider, and which box is chosen.
// Without it the drawing scrolls, the slider has a button, and boxes are links.
import { localTimes } from './lib/times.js'

const canvas = document.querySelector('.canvas')
const svg = document.querySelector('svg.graph')
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

if (svg) {
  zooming()
  dragging()
  sliding()
  choosing()
}

function zooming() {
  const [, , width, height] = svg.getAttribute('viewBox').split(' ').map(Number)
  let scale = 1
  const to = (next) => {
    scale = Math.min(3, Math.max(0.1, next))
    svg.setAttribute('width', width * scale)
    svg.setAttribute('height', height * scale)
  }
  const fit = () => to(Math.min(1, (canvas.clientWidth - 10) / width))
  if (width > canvas.clientWidth && width * 0.7 < canvas.clientWidth) fit() // it can still be read, and has its root in sight
  const buttons = document.querySelector('[data-zoom]')
  buttons.hidden = false
  buttons.addEventListener('click', (e) => {
    const by = Number(e.target.dataset.by)
    if (by) to(scale * by)
    else if (e.target.dataset.by) fit()
  })
  canvas.addEventListener('wheel', (e) => {
    if (!e.ctrlKey && !e.metaKey) return
    e.preventDefault()
    to(scale * (e.deltaY < 0 ? 1.1 : 0.9))
  }, { passive: false })
  canvas.addEventListener('keydown', (e) => {
    if (e.target !== canvas) return
    if (e.key === '+') to(scale * 1.25)
    if (e.key === '-') to(scale * 0.8)
    if (e.key === '0') fit()
  })
}

function dragging() {
  let from = null
  canvas.addEventListener('pointerdown', (e) => {
    if (e.pointerType === 'mouse' && e.button === 0 && !e.target.closest('a')) from = { x: e.clientX + canvas.scrollLeft, y: e.clientY + canvas.scrollTop }
  })
  addEventListener('pointermove', (e) => {
    if (!from) return
    canvas.classList.add('dragging')
    canvas.scrollLeft = from.x - e.clientX
    canvas.scrollTop = from.y - e.clientY
  })
  addEventListener('pointerup', () => {
    from = null
    canvas.classList.remove('dragging')
  })
}

function sliding() {
  const slider = document.getElementById('at')
  if (!slider) return
  const moments = slider.dataset.moments.split(' ').map(Number)
  const output = slider.form.querySelector('output')
  slider.form.querySelector('button').hidden = true
  slider.addEventListener('input', () => {
    const at = moments[slider.value - 1]
    const text = clock.format(new Date(at / 1000))
    output.textContent = text
    slider.setAttribute('aria-valuetext', text)
    for (const e of svg.querySelectorAll('[data-from]')) {
      e.classList.toggle('later', Number(e.dataset.from) > at)
      if (e.dataset.to) e.classList.toggle('ended', e.dataset.to !== '0' && Number(e.dataset.to) <= at)
    }
  })
}

// The evidence of every box stands in the page unread, where it costs nothing.
const unread = document.querySelector('.details > noscript')
function read() {
  if (!unread?.isConnected) return false
  unread.replaceWith(...new DOMParser().parseFromString(unread.textContent, 'text/html').body.children)
  localTimes(document.querySelector('.details'))
  return true
}

function choosing() {
  const mark = () => {
    if (location.hash.length > 1 && read()) location.replace(location.hash) // now there is what it names
    for (const e of svg.querySelectorAll('.selected')) e.classList.remove('selected')
    const id = decodeURIComponent(location.hash.slice(1))
    for (const e of svg.querySelectorAll('a.node')) if (e.getAttribute('href') === '#' + id) e.classList.add('selected')
  }
  addEventListener('hashchange', mark)
  // The browser would scroll to the evidence; where it stands beside the drawing, it need not.
  svg.addEventListener('click', (e) => {
    const node = e.target.closest('a.node')
    if (node) read()
    if (!node || !matchMedia('(min-width: 1100px)').matches) return
    e.preventDefault()
    const [x, y] = [scrollX, scrollY]
    location.hash = node.getAttribute('href')
    scrollTo(x, y)
  })
  addEventListener('keydown', (e) => {
    if (e.key === 'Escape' && location.hash) location.hash = '#none'
  })
  mark()
  const focus = svg.querySelector('.focus')
  if (focus) focus.scrollIntoView({ block: 'nearest', inline: 'center' })
}
