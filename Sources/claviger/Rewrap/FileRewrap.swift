import ClavigerClient
import Glibc

/// Makes the envelopes in files anew, each in its place.
struct FileRewrap {
    let bulk: BulkRewrap
    let context: [String]

    /// Replaces the envelope of each file. A file is never half-written: it is old or new, whatever happens.
    func run(_ paths: [String]) throws {
        var seen: Set<String> = []
        let paths = paths.filter { seen.insert($0).inserted }
        var batch = RewrapBatch<EnvelopeFile>()
        do throws(CommandFailure) {
            for path in paths {
                do throws(CommandFailure) {
                    let file = try EnvelopeFile(path)
                    batch.add(file, SealedItem(file.envelope, context: context))
                } catch {
                    bulk.fail(path, error)
                }
                if batch.isFull { try flush(&batch, of: paths.count) }
            }
            try flush(&batch, of: paths.count)
        } catch {
            throw bulk.stop(error)
        }
        try bulk.finish(onStandardError: false)
    }

    private func flush(_ batch: inout RewrapBatch<EnvelopeFile>, of total: Int) throws(CommandFailure) {
        guard !batch.items.isEmpty else { return }
        for (file, outcome) in zip(batch.sources, try bulk.rewrap(batch.items)) {
            bulk.count(replaced(file, outcome), of: file.path)
        }
        batch = RewrapBatch()
        bulk.show(of: total)
    }

    private func replaced(_ file: EnvelopeFile, _ outcome: BulkRewrap.Outcome) -> BulkRewrap.Outcome {
        guard case .rewrapped(let envelope) = outcome else { return outcome }
        do throws(CommandFailure) {
            // An interrupt leaves no temporary file behind.
            try withoutInterruption { () throws(CommandFailure) in try file.replace(with: envelope) }
            return outcome
        } catch {
            return .failed(error)
        }
    }
}

/// A file that holds one envelope.
struct EnvelopeFile {
    let path: String
    let envelope: [UInt8]
    private let isText: Bool
    private let mode: mode_t
    private let mark: Mark

    /// What tells whether a file is still the one that was read.
    private struct Mark: Equatable {
        var device: dev_t
        var inode: ino_t
        var size: off_t
        var seconds: Int
        var nanoseconds: Int

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
            size = status.st_size
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }
    }

    /// Reads the file; refuses one that could not be replaced.
    init(_ path: String) throws(CommandFailure) {
        try OutputFile.check(path)
        var status = stat()
        guard lstat(path, &status) == 0 else {
            throw .failed("cannot read it: \(systemError(errno))", "check its name and rights")
        }
        (envelope, isText) = try Input(path, what: "the envelope").readEnvelopeAndForm()
        self.path = path
        mode = status.st_mode & 0o777
        mark = Mark(status)
    }

    /// Puts the new envelope in its place, in the same form and with the same mode.
    func replace(with envelope: [UInt8]) throws(CommandFailure) {
        let file = try OutputFile(path, mode: mode)
        var status = stat()
        guard lstat(path, &status) == 0, Mark(status) == mark else {
            throw .failed("it was changed meanwhile and is left as it is", "run it again")
        }
        let bytes = isText ? Array((EnvelopeText.encode(envelope.span.bytes) + "\n").utf8) : envelope
        try file.commit(bytes.span.bytes)
    }
}
