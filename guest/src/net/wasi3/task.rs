//! Registers the waits of the bindings' futures, and delivers the host's events to them.
//!
//! The futures that `wit-bindgen` makes of asynchronous calls, streams and futures register with
//! their task through an interface in C, which any executor can implement. The executor of
//! `wit-bindgen` belongs to one call of an export, and operations that are under way when that call
//! ends are lost. This one belongs to the instance, because connections outlive the calls that
//! serve them. It asks for events in a loop, which costs a third of being called back for each
//! event.
//!
//! The interface is version 1 of `wit_bindgen_cabi_wasip3.h`.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;

/// Gives a future the result of its operation.
type Callback = unsafe extern "C" fn(future: *mut c_void, code: u32);

/// `struct wasip3_task`.
#[repr(C)]
struct CTask {
    version: u32,
    ptr: *mut c_void,
    waitable_register: unsafe extern "C" fn(*mut c_void, u32, Callback, *mut c_void) -> *mut c_void,
    waitable_unregister: unsafe extern "C" fn(*mut c_void, u32) -> *mut c_void,
}

/// `WASIP3_TASK_V1`.
const VERSION: u32 = 1;

/// The event code for no event.
const NONE: u32 = 0;

unsafe extern "C" {
    /// Makes a task the current one, and returns the previous one.
    fn wasip3_task_set(task: *mut CTask) -> *mut CTask;
}

#[link(wasm_import_module = "$root")]
unsafe extern "C" {
    #[link_name = "[waitable-set-new]"]
    fn waitable_set_new() -> u32;
    #[link_name = "[waitable-join]"]
    fn waitable_join(waitable: u32, set: u32);
    #[link_name = "[waitable-set-wait]"]
    fn waitable_set_wait(set: u32, payload: *mut [u32; 2]) -> u32;
    #[link_name = "[waitable-set-poll]"]
    fn waitable_set_poll(set: u32, payload: *mut [u32; 2]) -> u32;
}

/// A future that waits.
#[derive(Clone, Copy)]
struct Waiting {
    callback: Callback,
    future: *mut c_void,
}

/// An event of a waitable.
pub struct Event {
    waitable: u32,
    code: u32,
}

/// The task of an instance: the futures that wait, and the host's set of their waitables.
pub struct Task {
    set: u32,
    /// Indexed by waitable: these are small numbers, because they are indexes of a table.
    waiting: RefCell<Vec<Option<Waiting>>>,
}

impl Task {
    /// Creates the task of this instance, for ever: every later wait is registered in it.
    pub fn install() -> &'static Self {
        // SAFETY: the call has no preconditions.
        let set = unsafe { waitable_set_new() };
        let task: &Self = Box::leak(Box::new(Self {
            set,
            waiting: RefCell::default(),
        }));
        let c_task = Box::leak(Box::new(CTask {
            version: VERSION,
            ptr: ptr::from_ref(task).cast_mut().cast(),
            waitable_register,
            waitable_unregister,
        }));
        // SAFETY: `c_task` is never freed.
        unsafe { wasip3_task_set(c_task) };
        task
    }

    /// Waits for the next event.
    pub fn wait(&self) -> Event {
        let mut payload = [0; 2];
        // SAFETY: the set exists, and the payload has room for two numbers.
        unsafe { waitable_set_wait(self.set, &raw mut payload) };
        let [waitable, code] = payload;
        Event { waitable, code }
    }

    /// The next event, if there is one already.
    pub fn poll(&self) -> Option<Event> {
        let mut payload = [0; 2];
        // SAFETY: as in `wait`.
        let event = unsafe { waitable_set_poll(self.set, &raw mut payload) };
        let [waitable, code] = payload;
        (event != NONE).then_some(Event { waitable, code })
    }

    /// Delivers an event to the future that waits for it, which wakes its task.
    pub fn deliver(&self, event: Event) {
        let waiting = self.take(event.waitable);
        if let Some(Waiting { callback, future }) = waiting {
            // SAFETY: a future unregisters itself before it is dropped, so it still exists.
            unsafe { callback(future, event.code) };
        }
    }

    fn insert(&self, waitable: u32, waiting: Waiting) -> *mut c_void {
        // Joining moves the waitable from any other set to this one. It stays in the set after its
        // event: to remove it and add it again for the next wait would be one more call of the
        // host.
        // SAFETY: a future has just started to wait for the waitable, so it exists, and so does the
        // set.
        unsafe { waitable_join(waitable, self.set) };
        let mut all = self.waiting.borrow_mut();
        let index = waitable as usize;
        if index >= all.len() {
            all.resize(index + 1, None);
        }
        let before = all.get_mut(index).and_then(|place| place.replace(waiting));
        before.map_or(ptr::null_mut(), |waiting| waiting.future)
    }

    fn take(&self, waitable: u32) -> Option<Waiting> {
        self.waiting.borrow_mut().get_mut(waitable as usize)?.take()
    }
}

unsafe extern "C" fn waitable_register(
    task: *mut c_void,
    waitable: u32,
    callback: Callback,
    future: *mut c_void,
) -> *mut c_void {
    // SAFETY: `Task::install` put it there, and it is never freed.
    let task = unsafe { &*task.cast::<Task>() };
    task.insert(waitable, Waiting { callback, future })
}

unsafe extern "C" fn waitable_unregister(task: *mut c_void, waitable: u32) -> *mut c_void {
    // SAFETY: as in `waitable_register`.
    let task = unsafe { &*task.cast::<Task>() };
    // An operation can only be cancelled outside of every set.
    // SAFETY: its future still exists, and so does the waitable.
    unsafe { waitable_join(waitable, 0) };
    let before = task.take(waitable);
    before.map_or(ptr::null_mut(), |waiting| waiting.future)
}
