import Glibc

/// The fault module's control file and trace, as a test uses them. One value for each program under test.
///
/// ```swift
/// let daemon = try DaemonHarness()
/// let faults = try daemon.useFaultModule()
/// try daemon.start()
/// try faults.set("C_Decrypt nth=3 count=1 return=CKR_DEVICE_ERROR")
/// ```
///
/// A rule counts calls from the moment it was set. Setting again replaces all rules; a rule that stays goes on counting.
public final class FaultModule: Sendable {
    /// The control file.
    public let control: String
    /// The trace: a line for each call.
    public let traceFile: String
    private let settings: [String]

    /// The path of the module.
    public static func path() throws -> String { try Programs.path("libclaviger-fault.so") }

    /// Writes a control file without rules.
    ///
    /// - Parameters:
    ///   - directory: where control file and trace are to be.
    ///   - storage: the directory of the real token's files.
    ///   - module: the real module; nil for SoftHSM's.
    public init(directory: String, storage: String, seed: UInt64 = 1, module: String? = nil) throws {
        control = directory + "/fault.conf"
        traceFile = directory + "/fault.trace"
        settings = [
            "module \(try module ?? SoftToken.modulePath())", "storage \(storage)", "trace \(traceFile) labels", "seed \(seed)",
        ]
        try set()
    }

    /// Replaces all rules. They hold for the next call of the module.
    public func set(_ rules: String...) throws { try set(rules) }

    /// Replaces all rules.
    public func set(_ rules: [String]) throws {
        let fresh = control + ".new"
        try writeFile(fresh, (settings + rules).joined(separator: "\n") + "\n")
        guard rename(fresh, control) == 0 else { throw HarnessError("rename: \(systemText(errno))") }
    }

    /// One call, as the trace has it.
    public struct Call: Sendable {
        /// Such as `C_Login`.
        public let function: String
        /// Such as `CKR_OK`.
        public let result: String
        /// The whole line.
        public let line: String
        /// Whether a rule had its hand in it.
        public var isInjected: Bool { line.contains(" rule=") }
        /// The process that called.
        public var process: pid_t? {
            line.split(separator: " ").first { $0.hasPrefix("pid=") }.flatMap { pid_t($0.dropFirst(4)) }
        }
    }

    /// All calls so far, oldest first.
    public func calls() throws -> [Call] {
        guard access(traceFile, F_OK) == 0 else { return [] }
        return String(decoding: try readFile(traceFile), as: UTF8.self).split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ", maxSplits: 2)
            guard parts.count > 1, parts[1].hasPrefix("result=") else { return nil }
            return Call(function: String(parts[0]), result: String(parts[1].dropFirst(7)), line: String(line))
        }
    }

    /// The calls of one function.
    public func calls(_ function: String) throws -> [Call] { try calls().filter { $0.function == function } }
}

extension DaemonHarness {
    /// Puts the fault module between the daemon and SoftHSM, or the module that is named. Before the daemon is started.
    public func useFaultModule(
        _ settings: Settings = Settings(), seed: UInt64 = 1, module: String? = nil
    ) throws -> FaultModule {
        let faults = try FaultModule(directory: directory, storage: tokens, seed: seed, module: module)
        var changed = settings
        changed.modulePath = try FaultModule.path()
        // Another kind of token has its path from its profile.
        if module != nil { changed.module.append("path = \"\(try FaultModule.path())\"") }
        changed.module.append("environment.CLAVIGER_FAULT = \"\(faults.control)\"")
        try configure(changed)
        return faults
    }
}
