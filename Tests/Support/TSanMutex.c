// Tells the thread sanitizer of Swift's Synchronization.Mutex: a library to preload into programs built with -sanitize=thread.
//
// A Mutex's uncontended path is compiled into the caller, where the sanitizer sees its atomic operations. The contended path lies in
// the runtime, which is not instrumented, so that each contended lock looks like no lock and every use of the guarded value like a
// race. The two functions of that path are replaced here by ones that call them and say what they mean: after taking the lock
// everything before its release has happened. In programs without the sanitizer they only call on.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

// Methods in Swift's calling convention: the address of the mutex comes in the register for `self`.
#define METHOD __attribute__((swiftcall, visibility("default")))
#define SELF __attribute__((swift_context)) void *self
typedef __attribute__((swiftcall)) void (*LockSlow)(uint32_t current, SELF);
typedef __attribute__((swiftcall)) void (*UnlockSlow)(SELF);

static LockSlow lockSlow;
static UnlockSlow unlockSlow;

// Before any Swift code runs: looking the functions up later would itself be a race.
__attribute__((constructor)) static void find(void) {
    lockSlow = (LockSlow)dlsym(RTLD_NEXT, "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
    unlockSlow = (UnlockSlow)dlsym(RTLD_NEXT, "$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
}

METHOD void replacedLockSlow(uint32_t current, SELF) __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
METHOD void replacedLockSlow(uint32_t current, SELF) {
    lockSlow(current, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

METHOD void replacedUnlockSlow(SELF) __asm__("$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
METHOD void replacedUnlockSlow(SELF) {
    if (__tsan_release) __tsan_release(self);
    unlockSlow(self);
}
