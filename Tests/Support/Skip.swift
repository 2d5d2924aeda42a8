/// Reports that a test, or the part of one that `name` says, does not run on this machine, and why.
///
/// Prints one line, `SKIPPED: name: reason`, which `hsm-config/check` collects into its summary: a test that cannot run is
/// never silent. The caller returns from the test right after.
public func skip(_ name: String, _ reason: String) {
    print("SKIPPED: \(name): \(reason)")
}
