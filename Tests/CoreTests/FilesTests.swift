import Glibc
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

@Suite struct FilesTests {
    /// Where the file of process 1 cannot be read, those of others cannot.
    @Test func whatProcShows() throws {
        let directory = try TemporaryDirectory()
        #expect(ProcessFiles.areVisible)
        #expect(!ProcessFiles.areVisible(below: directory.path))
        mkdir(directory.file("1"), 0o755)
        try overwrite(directory.file("1/cgroup"), Array("0::/init.scope\n".utf8))
        #expect(ProcessFiles.areVisible(below: directory.path))
        // Root reads whatever the mode is.
        guard geteuid() != 0 else { return }
        chmod(directory.file("1/cgroup"), 0)
        #expect(!ProcessFiles.areVisible(below: directory.path))
    }

    @Test func replaceLeavesTheNewContentAndNothingElse() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a")
        // What an earlier run that was killed has left does not stand in the way, and its mode does not stay.
        try overwrite(path + ".new", Array("half".utf8))
        chmod(path + ".new", 0o666)
        for text in ["first", "", "a longer second one"] {
            try Files.replace(path, with: Array(text.utf8).span.bytes, mode: 0o400)
            #expect(try Files.read(path) == Array(text.utf8))
            #expect(try #require(Files.status(path)).st_mode & 0o7777 == 0o400)
            #expect(try Files.list(directory.path) == ["a"])
        }
    }

    @Test func replaceThatFailsLeavesTheOldContent() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a")
        // A directory cannot be replaced by a file: the last step, the rename, fails.
        #expect(mkdir(path, 0o700) == 0)
        #expect(mkdir(path + "/inside", 0o700) == 0)
        let error = #expect(throws: FileError.self) { try Files.replace(path, with: ([1, 2] as [UInt8]).span.bytes) }
        #expect(error?.code == EISDIR || error?.code == ENOTEMPTY)
        #expect(try Files.list(directory.path) == ["a"])
        #expect(try Files.list(path) == ["inside"])
        // And so does the first where there is no directory.
        #expect(throws: FileError.self) { try Files.replace(directory.file("no/a"), with: ([1] as [UInt8]).span.bytes) }
    }

    @Test func replaceDoesNotWriteThroughALink() throws {
        let directory = try TemporaryDirectory()
        let target = directory.file("target")
        try overwrite(target, [1])
        #expect(symlink(target, directory.file("a.new")) == 0)
        try Files.replace(directory.file("a"), with: ([2] as [UInt8]).span.bytes)
        #expect(try Files.read(target) == [1])
        #expect(try Files.read(directory.file("a")) == [2])
    }

    @Test func onlyRegularFilesOfSensibleSizeAreRead() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: FileError.self) { try Files.read(directory.path) }
        let pipe = directory.file("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        // Must not wait for a writer.
        #expect(throws: FileError.self) { _ = try Files.readSecret(pipe, maximum: 10).count }
        let big = directory.file("big")
        try overwrite(big, [])
        #expect(truncate(big, off_t(Files.maximumSize) + 1) == 0)
        #expect(throws: FileError.self) { try Files.read(big) }
        #expect(truncate(big, off_t(Files.maximumSize)) == 0)
        #expect(try Files.read(big).count == Files.maximumSize)
        #expect(throws: FileError.self) { _ = try Files.readSecret(big, maximum: 10).count }
    }

    @Test func parents() {
        #expect(Files.parent(of: "/a/b") == "/a")
        #expect(Files.parent(of: "/a") == "/")
        #expect(Files.parent(of: "a") == ".")
    }
}

@Suite struct HolderLockTests {
    @Test func theSecondHolderIsToldOfTheFirst() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("lock")
        // flock(2) works by open file description, so that a second one in the same process is as good as another process.
        let first = try HolderLock(path: path, holder: "clavigerd")
        let failure = #expect(throws: HolderLock.Failure.self) { _ = try HolderLock(path: path, holder: "claviger").path }
        #expect(failure == .held(path: path, holder: "clavigerd (process \(getpid()))"))
        #expect(failure.map { "\($0)" } == "\(path) is held by clavigerd (process \(getpid())): stop it first")
        #expect(first.path == path)
    }

    @Test func itIsFreeWhenTheHolderHasGone() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("lock")
        for holder in ["a holder with a long name", "b"] {
            // A program that another test is about to start has a copy of the descriptor, and with it the lock, until it is started.
            var lock: HolderLock?
            #expect(
                eventually {
                    lock = try? HolderLock(path: path, holder: holder)
                    return lock != nil
                })
            #expect(lock?.path == path)
            #expect(try Files.read(path) == Array("\(holder) (process \(getpid()))\n".utf8))
        }
    }

    @Test func aHolderThatNamedItselfNotIsStillAHolder() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("lock")
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(file) }
        #expect(flock(file, LOCK_EX) == 0)
        let failure = #expect(throws: HolderLock.Failure.self) { _ = try HolderLock(path: path, holder: "b").path }
        #expect(failure == .held(path: path, holder: "another process"))
    }

    /// The directory of a token's storage can belong to another user than the one who locks it.
    @Test func aLinkPlantedInItsPlaceIsNotFollowed() throws {
        let directory = try TemporaryDirectory()
        let victim = directory.file("victim")
        try overwrite(victim, Array("precious".utf8))
        #expect(symlink(victim, directory.file("lock")) == 0)
        let failure = #expect(throws: HolderLock.Failure.self) {
            _ = try HolderLock(path: directory.file("lock"), holder: "b").path
        }
        #expect(failure == .file(FileError("open", directory.file("lock"), ELOOP)))
        #expect(try Files.read(victim) == Array("precious".utf8))
    }
}
