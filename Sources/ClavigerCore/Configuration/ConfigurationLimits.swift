/// The bounds of the configuration file and of each of its values.
package enum ConfigurationLimits {
    /// Bytes of the file: a hundred times what a full configuration needs, and small enough to read whole.
    package static let fileBytes = 1 << 20
    /// Bytes of a path: Linux's PATH_MAX without the terminating zero.
    package static let pathBytes = 4095
    /// Bytes of the PKCS#11 URI: every attribute of a token at its full length, percent-encoded, with room.
    package static let uriBytes = 2048
    /// Bytes of the initialisation arguments and of one environment value: longer ones are a mistake.
    package static let textBytes = 4096
    /// Environment variables of the module: modules read a handful.
    package static let environmentVariables = 64
    /// Bytes of an environment variable's name.
    package static let environmentNameBytes = 128
    /// Bytes of a group or credential name: NAME_MAX, which also bounds systemd's credential names.
    package static let nameBytes = 255
    /// Connections that the kernel queues before they are accepted; the kernel itself cuts at net.core.somaxconn.
    package static let backlog = 1...4096
    /// Connections open at once: each costs a descriptor, and a process that runs out of them cannot reach its token.
    package static let connections = 1...65536
    /// Requests of one caller in a second, or at once before that counts; 0 for no limit. More than a million no machine answers.
    package static let requestRate = 0...1_000_000
    /// Requests of one caller in flight; 0 chooses by the queue.
    package static let inFlight = 0...4096
    /// Connections of one caller; 0 chooses by the number of all.
    package static let connectionQuota = 0...65536
    /// Worker threads, each with a session of the token; 0 chooses by the machine and the token.
    package static let workers = 0...256
    /// Requests that wait for a worker.
    package static let queue = 1...4096
    /// Deadlines in milliseconds: at most an hour, so that a mistyped zero does not make requests immortal.
    package static let deadline = 1...3_600_000
    /// Milliseconds that a half-sent frame or an unread reply may hold its memory.
    package static let idleFrame = 100...600_000
    /// Bytes that a token wraps at most by AES key wrap: from the least DEK to the greatest plaintext.
    package static let keyWrap = 16...4_096
    /// Sessions with the token: the one that manages, the one that signs, and at least one that works.
    package static let sessions = 3...65_536
    /// MiB of an audit segment: one is read whole at a start, and the shortest still holds a thousand records.
    package static let segmentMebibytes = 1...1024
    /// Hours of an audit segment: at most a year.
    package static let segmentHours = 1...8784
    /// Records between two checkpoints: fewer than 100 would have the token sign all day; a checkpoint may look back over 65,535.
    package static let checkpointRecords = 100...50_000
    /// Seconds until a record is sealed: at most an hour.
    package static let checkpointSeconds = 1...3600
    /// Problems listed one by one: past it only their number is told, so that a file of another kind does not flood the log.
    package static let listedProblems = 1000
}
