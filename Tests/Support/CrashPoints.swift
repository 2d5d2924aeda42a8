import Glibc

/// Kills programs under test at a write of their choice, tears that write in two, or lets all writes fail from there on.
///
/// A library of ours is preloaded into the program, which counts what that does to files below given directories: creating, writing,
/// truncating, syncing, renaming and removing, by whatever library inside it.
public struct CrashPoints: Sendable {
    /// What happens at the point.
    public enum Mode: String, CaseIterable, Sendable {
        /// The process is killed before it.
        case kill
        /// Half of the write is done, then the process is killed; other points are as for `kill`.
        case tear
        /// From there on every write fails with ENOSPC.
        case full
        /// From there on every write fails with EIO.
        case broken
    }

    private let directories: [String]
    private let log: String

    /// Points below `directories`; `log` is where a counting run takes them down.
    public init(_ directories: [String], log: String) {
        self.directories = directories
        self.log = log
    }

    /// The variables for a run that counts the points.
    public func counting() throws -> [String] {
        unlink(log)
        return try base() + ["CRASH_LOG=\(log)"]
    }

    /// The variables for a run in which something happens.
    public func at(_ point: Int, _ mode: Mode) throws -> [String] {
        try base() + ["CRASH_AT=\(point)", "CRASH_MODE=\(mode.rawValue)"]
    }

    /// The points of the counting run: what was done to which file.
    public func points() throws -> [String] {
        guard access(log, F_OK) == 0 else { return [] }
        return String(decoding: try readFile(log), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func base() throws -> [String] {
        ["LD_PRELOAD=\(try CrashPoints.library.get())", "CRASH_UNDER=\(directories.joined(separator: ":"))"]
    }

    /// Whether programs can be run so here: a sanitizer wants to be preloaded first.
    public static var isPossible: Bool { getenv("CLAVIGER_SANITIZER") == nil }

    // Built once a process; the guard removes it.
    private static let library = Result { () throws -> String in
        var template = Array("/tmp/clvc.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw HarnessError("mkdtemp: \(systemText(errno))") }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        HarnessGuard.shared.tell("dir \(directory)")
        let source = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        let library = directory + "/points.so"
        let built = try Child.run(
            "/usr/bin/env",
            ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, "/\(source)/CrashPoints.c"],
            directory: directory)
        guard built.status == 0 else { throw HarnessError("CrashPoints.c does not build: \(built.errorText)") }
        return library
    }
}

/// Some of the numbers from 1 to `count`, spread evenly, the first chosen by `generator`; all when there are no more than `limit`.
public func sample(_ count: Int, _ limit: Int, using generator: inout SeededGenerator) -> [Int] {
    guard count > limit else { return count < 1 ? [] : Array(1...count) }
    let step = Double(count) / Double(limit)
    let offset = Double.random(in: 0..<step, using: &generator)
    return (0..<limit).map { Int(offset + Double($0) * step) + 1 }
}
