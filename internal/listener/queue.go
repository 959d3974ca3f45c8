package listener

// queue is tasks, first in, first out. The zero value is empty.
type queue struct {
	tasks []Task
	first int
}

func (q *queue) len() int { return len(q.tasks) - q.first }

// add adds a task, in the room of those that have been taken if those are many: a queue may never
// be empty.
func (q *queue) add(t Task) {
	if len(q.tasks) == cap(q.tasks) && q.first > len(q.tasks)/2 {
		n := copy(q.tasks, q.tasks[q.first:])
		clear(q.tasks[n:])
		q.tasks, q.first = q.tasks[:n], 0
	}
	q.tasks = append(q.tasks, t)
}

// take returns the first task; there must be one.
func (q *queue) take() Task {
	t := q.tasks[q.first]
	q.tasks[q.first] = nil
	if q.first++; q.first == len(q.tasks) {
		q.tasks, q.first = q.tasks[:0], 0
	}
	return t
}
