const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

/** Shows the times in root in the viewer's zone; their titles keep UTC. */
export function localTimes(root) {
  for (const t of root.querySelectorAll('time[datetime]')) {
    const at = new Date(t.dateTime)
    if (!isNaN(at)) t.textContent = clock.format(at)
  }
}
