// What every page has: times in the viewer's zone, and menus that close.
import { localTimes } from './lib/times.js'

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone

localTimes(document)
for (const e of document.querySelectorAll('[data-zone]')) e.textContent = zone || 'your zone'

document.addEventListener('click', (e) => {
  for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(e.target)) menu.open = false
})
document.addEventListener('keydown', (e) => {
  if (e.key !== 'Escape') return
  for (const menu of document.querySelectorAll('details.menu[open]')) {
    menu.open = false
    menu.querySelector('summary').focus()
  }
})
// Whoever is about to do something that cannot be undone is asked.
document.addEventListener('submit', (e) => {
  const words = e.target.dataset.confirm
  if (words && !confirm(words)) e.preventDefault()
})
