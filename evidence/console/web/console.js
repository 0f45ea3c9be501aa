// What every page has: times in the viewer's zone, and menus that close.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

/** Shows the times in root in the viewer's zone; their titles keep UTC. */
export function localTimes(root) {
  for (const t of root.querySelectorAll('time[datetime]')) {
    const at = new Date(t.dateTime)
    if (!isNaN(at)) t.textContent = clock.format(at)
  }
}

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
