import Foundation
import Support
import Testing

/// The units under `systemd/`: what systemd-analyze says of them, and what a real booted systemd does with them.
@Suite struct SystemdTests {
    /// systemd-analyze counts the exposure score in tenths: 7 is 0.7, the most that the unit may have.
    static let exposureThreshold = 7

    /// systemd-analyze returns success for unknown keys and bad values, and only prints a line: it must print none.
    @Test func unitsVerifyInSilence() throws {
        guard Self.have("systemd-analyze", for: "unitsVerifyInSilence") else { return }
        try Workspace.with { work in
            let units = try Self.stagedUnits(in: work)
            let result = try work.run("systemd-analyze", ["verify", "--man=no"] + units)
            #expect(result.status == 0)
            #expect(result.output == "")
        }
    }

    /// The counterpart of the test above: a misspelt key is seen by it.
    @Test func aMisspeltKeyIsNotSilent() throws {
        guard Self.have("systemd-analyze", for: "aMisspeltKeyIsNotSilent") else { return }
        try Workspace.with { work in
            let units = try Self.stagedUnits(in: work) { $0.replacing("NoNewPrivileges=", with: "NoNewPrivilege=") }
            let result = try work.run("systemd-analyze", ["verify", "--man=no"] + units)
            #expect(result.output.contains("NoNewPrivilege"))
        }
    }

    @Test func exposureIsAtMostTheThreshold() throws {
        guard Self.have("systemd-analyze", for: "exposureIsAtMostTheThreshold") else { return }
        try Workspace.with { work in
            let units = try Self.stagedUnits(in: work)
            let result = try work.run(
                "systemd-analyze",
                ["security", "--offline=true", "--no-pager", "--threshold=\(Self.exposureThreshold)", units[0]])
            #expect(result.status == 0, "\(result.output)")
        }
    }

    /// In a user namespace of its own the daemon would see every caller as uid 65534, and with /proc hidden none of their units.
    @Test func theUnitLeavesCallersVisible() throws {
        let unit = try String(contentsOf: Self.unitDirectory.appending(path: "claviger.service"), encoding: .utf8)
        let settings = unit.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(!settings.contains { $0.hasPrefix("PrivateUsers=") || $0.hasPrefix("DynamicUser=") })
        #expect(!settings.contains { $0.hasPrefix("ProtectProc=") || $0.hasPrefix("ProcSubset=") })
    }

    /// The whole life under a real systemd, as `Systemd/guest` tells it.
    @Test func bootedLife() throws {
        guard getuid() == 0 else { return skip("SystemdTests.bootedLife", "needs root") }
        guard getenv("CLAVIGER_SANITIZER") == nil else {
            return skip("SystemdTests.bootedLife", "a sanitizer's memory does not fit the hardened unit")
        }
        guard Self.have("systemd-nspawn", for: "bootedLife") else { return }
        guard let programs = Self.programs else {
            Issue.record("no clavigerd and claviger beside the test's executable")
            return
        }
        try Workspace.with { work in
            let script = Self.testDirectory.appending(path: "Systemd/boot").path
            let result = try work.run(script, [programs, work.directory.path])
            #expect(result.status == 0, "\(result.output)")
        }
    }
}

extension SystemdTests {
    private static let testDirectory = URL(filePath: #filePath).deletingLastPathComponent()
    private static let unitDirectory = testDirectory.appending(path: "../../systemd")

    /// The directory of the built programs: SwiftPM puts them beside the test's executable.
    private static var programs: String? {
        guard let executable = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
        // The runner may be the toolchain's own, which loads the tests as a library: the bundle's path then tells.
        let candidates = [executable] + CommandLine.arguments
        return candidates.map { URL(filePath: $0).deletingLastPathComponent().path }.first { directory in
            ["clavigerd", "claviger"].allSatisfy { FileManager.default.isExecutableFile(atPath: directory + "/" + $0) }
        }
    }

    /// Whether `program` is on PATH; the test that needs it is reported as skipped otherwise.
    private static func have(_ program: String, for test: String) -> Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let found = path.split(separator: ":").contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(program)") }
        if !found { skip("SystemdTests.\(test)", "needs \(program)") }
        return found
    }

    /// Copies of the service and its sockets, the service first, that name a program that exists on this machine.
    private static func stagedUnits(in work: Workspace, edit: (String) -> String = { $0 }) throws -> [String] {
        try ["claviger.service", "claviger.socket", "claviger-admin.socket"].map { name in
            let text = try String(contentsOf: unitDirectory.appending(path: name), encoding: .utf8)
            let staged = work.directory.appending(path: name)
            try edit(text.replacing("/usr/sbin/clavigerd", with: "/bin/true"))
                .write(to: staged, atomically: true, encoding: .utf8)
            return staged.path
        }
    }
}

/// A temporary directory, removed at the end, and programs run in it.
private struct Workspace {
    let directory: URL

    static func with(_ body: (Workspace) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "claviger-systemd-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: directory) }
        try body(Workspace(directory: directory))
    }

    /// Runs a program found on PATH or by its path; returns its exit status and what it printed on both streams.
    func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let output = directory.appending(path: "run-\(UUID().uuidString).out")
        guard FileManager.default.createFile(atPath: output.path, contents: nil) else { throw CocoaError(.fileWriteUnknown) }
        let file = try FileHandle(forWritingTo: output)
        defer { try? file.close() }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = file
        process.standardError = file
        try process.run()
        process.waitUntilExit()
        return (process.terminationStatus, try String(contentsOf: output, encoding: .utf8))
    }
}
