#pragma once
// A PKCS#11 module that forwards to a real one and fails on cue, so that outages can be rehearsed: built as libclaviger-fault.so,
// loaded by a program under test in place of the real module, driven by a control file that may change while the program runs.
// The page in Documentation.docc describes the control file.

/// The environment variable that names the control file. A program that cannot set it may instead pass
/// "claviger-fault:PATH" in pReserved of C_Initialize, on a line of its own before what the real module wants.
#define CLAVIGER_FAULT_VARIABLE "CLAVIGER_FAULT"
