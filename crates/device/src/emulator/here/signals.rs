//! Signals inside of kernels become faults: the coroutine that met one ends, the process goes on.

use std::mem::MaybeUninit;
use std::sync::Once;

use corosensei::trap::TrapHandlerRegs;

use super::super::fault::FaultKind;
use super::worker::{Crash, current};

const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

static mut PREVIOUS: [MaybeUninit<libc::sigaction>; 4] = [MaybeUninit::uninit(); 4];

/// Installs the handlers, once a process. Signals outside of kernels go to whoever handled them before.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (at, signal) in SIGNALS.into_iter().enumerate() {
            // SAFETY: a zeroed sigaction is valid; the handler is async-signal-safe: it reads and writes memory of this thread's
            // worker and makes no call. `PREVIOUS` is written before the handler can run, once.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handle as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                let previous = &raw mut PREVIOUS[at];
                libc::sigaction(signal, std::ptr::null(), previous.cast());
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
    });
}

/// Gives this thread a stack for signal handlers where it has none: a handler cannot run on a stack that is used up.
pub(super) fn prepare_thread() {
    const BYTES: usize = 64 << 10;
    thread_local! {
        static STACK: Option<Box<[u8]>> = {
            // SAFETY: asks for the current state, and gives the system memory that lives as long as this thread.
            unsafe {
                let mut now: libc::stack_t = std::mem::zeroed();
                libc::sigaltstack(std::ptr::null(), &mut now);
                (now.ss_flags & libc::SS_DISABLE != 0).then(|| {
                    let mut memory = vec![0u8; BYTES].into_boxed_slice();
                    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: BYTES };
                    libc::sigaltstack(&stack, std::ptr::null_mut());
                    memory
                })
            }
        };
    }
    STACK.with(|_| ());
}

unsafe extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes valid pointers; the worker is this thread's, stopped at the faulting instruction.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let (pc, sp, frame) = registers(context);
        if let Some(worker) = current().as_mut()
            && let Some(trap) = worker.trap_handler()
            && trap.stack_ptr_in_bounds(sp)
        {
            let address = (*info).si_addr() as usize;
            let kind = match signal {
                libc::SIGFPE => FaultKind::DivideByZero,
                libc::SIGSEGV | libc::SIGBUS if address.abs_diff(sp) < 1 << 20 && address < worker.stack_top() => {
                    FaultKind::StackOverflow
                }
                _ => FaultKind::Crash,
            };
            worker.crash = Some(Crash { kind, address, pc, frame });
            set_registers(context, trap.setup_trap_handler(|| ()));
            return;
        }
        // Not ours: the instruction is met again with the handler that was there before.
        let at = SIGNALS.iter().position(|&s| s == signal).unwrap_or(0);
        let previous = &raw const PREVIOUS[at];
        libc::sigaction(signal, previous.cast(), std::ptr::null_mut());
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let r = &context.uc_mcontext.gregs;
    let at = |i: i32| r[i as usize] as usize;
    (at(libc::REG_RIP), at(libc::REG_RSP), at(libc::REG_RBP))
}

#[cfg(target_arch = "x86_64")]
fn set_registers(context: &mut libc::ucontext_t, to: TrapHandlerRegs) {
    let TrapHandlerRegs { rip, rsp, rbp, rdi, rsi } = to;
    let r = &mut context.uc_mcontext.gregs;
    for (register, value) in
        [(libc::REG_RIP, rip), (libc::REG_RSP, rsp), (libc::REG_RBP, rbp), (libc::REG_RDI, rdi), (libc::REG_RSI, rsi)]
    {
        r[register as usize] = value as i64;
    }
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let m = &context.uc_mcontext;
    (m.pc as usize, m.sp as usize, m.regs[29] as usize)
}

#[cfg(target_arch = "aarch64")]
fn set_registers(context: &mut libc::ucontext_t, to: TrapHandlerRegs) {
    let TrapHandlerRegs { pc, sp, x0, x1, x29, lr } = to;
    let m = &mut context.uc_mcontext;
    m.pc = pc;
    m.sp = sp;
    m.regs[0] = x0;
    m.regs[1] = x1;
    m.regs[29] = x29;
    m.regs[30] = lr;
}
