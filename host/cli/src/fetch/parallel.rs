//! `-Z`: several transfers at once.

use super::failed_last;
use super::plan::{Plan, Task};
use super::session::Session;
use super::transfer::Transfer;
use crate::exit::Failure;
use crate::watch::Watch;
use sockbox::policy::Origin;
use sockbox::{Sandbox, origin_of};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::{JoinSet, LocalSet};

/// Do all tasks, as many at once as the options permit, and give the exit code of the last one that has failed.
///
/// An instance is used again for URLs of the same origin only: it is granted that origin, and a page of one origin can do
/// nothing for the others.
pub async fn all(
    sandbox: &Sandbox,
    plan: Rc<Plan>,
    watch: &Watch,
    tasks: Vec<Task>,
) -> Result<u8, Failure> {
    let workers = tasks.len().min(plan.args.parallel_max.into());
    let work = Rc::new(Work {
        sandbox: sandbox.clone(),
        plan,
        watch: watch.clone(),
        tasks,
        next: Cell::new(0),
        queued: Instant::now(),
        idle: RefCell::default(),
        code: Cell::new(0),
    });
    let mut running = JoinSet::new();
    let local = LocalSet::new();
    for _ in 0..workers {
        running.spawn_local_on(work.clone().work(), &local);
    }
    local
        .run_until(async {
            while let Some(done) = running.join_next().await {
                done.map_err(|failed| Failure::system(failed.into()))??;
            }
            Ok(work.code.get())
        })
        .await
}

/// What the workers share.
struct Work {
    sandbox: Sandbox,
    plan: Rc<Plan>,
    watch: Watch,
    tasks: Vec<Task>,
    /// The task that the next free worker does.
    next: Cell<usize>,
    queued: Instant,
    /// Sessions between two tasks, the one that was used last at the end. A worker without a fitting one drops the
    /// first: so there are never more sessions than workers.
    idle: RefCell<VecDeque<(Origin, Session)>>,
    code: Cell<u8>,
}

impl Work {
    /// Do one task after the other until there is none left.
    async fn work(self: Rc<Work>) -> Result<(), Failure> {
        while let Some(task) = self.tasks.get(self.next.replace(self.next.get() + 1)) {
            // Its transfer tells what is wrong with a URL that has none.
            let origin = origin_of(&task.url).ok();
            let mut session = self.session(origin.as_ref(), task)?;
            let transfer = Transfer::new(&self.plan, task, self.queued);
            let code = transfer.run(&mut session).await;
            self.code.set(failed_last(self.code.get(), code));
            if let Some(origin) = origin {
                self.idle.borrow_mut().push_back((origin, session));
            }
        }
        Ok(())
    }

    /// A session for the task: one that has served the same origin, or a new one.
    fn session(&self, origin: Option<&Origin>, task: &Task) -> Result<Session, Failure> {
        let mut idle = self.idle.borrow_mut();
        let fitting = idle.iter().rposition(|(own, _)| Some(own) == origin);
        if let Some((_, session)) = fitting.and_then(|place| idle.remove(place)) {
            return Ok(session);
        }
        drop(idle.pop_front());
        Session::new(&self.sandbox, &self.plan, &self.watch, [task.url.as_str()])
    }
}
