extension Configuration {
    /// What is recorded, and how durably.
    package struct Audit: Sendable, Equatable {
        /// `directory`: where the log's files are; nil for `audit` in the state directory.
        package internal(set) var directory: String?
        /// `durability`: when a record of key use counts as kept.
        package internal(set) var durability = Durability.fsync
        /// `context`: how contexts are recorded.
        package internal(set) var context = AuditContexts.Form.hash
        /// `segment-size-mib`: a file of so many MiB is followed by another.
        package internal(set) var segmentMebibytes = 64
        /// `segment-age-hours`: a file of this age is followed by another.
        package internal(set) var segmentHours = 24
        /// `checkpoint-records`: so many records after a checkpoint another is made.
        package internal(set) var checkpointRecords = 10_000
        /// `checkpoint-seconds`: a record is sealed after so many seconds at the latest.
        package internal(set) var checkpointSeconds = 60
        /// `collector`: a Unix socket that every record is sent to as well; nil for none.
        package internal(set) var collector: String?

        /// When a record of key use counts as kept. Changes of keys, access and settings are always kept as `fsync` says.
        package enum Durability: String, Sendable, CaseIterable {
            /// On the disk before the reply: survives a power failure.
            case fsync
            /// In the file before the reply: survives a crash of the daemon, not of the machine.
            case buffered
            /// Not at all: for measuring. The daemon says so in its status.
            case off
        }
    }
}

extension Configuration {
    /// Where the audit log's files are.
    package var auditDirectory: String { audit.directory ?? stateDirectory + "/audit" }
}

extension Configuration.Audit {
    mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("audit")
        directory = reader.absolutePath("audit.directory")?.value
        durability = reader.choice("audit.durability", of: Durability.self)?.value ?? durability
        context = reader.choice("audit.context", of: AuditContexts.Form.self)?.value ?? context
        segmentMebibytes =
            reader.integer("audit.segment-size-mib", in: ConfigurationLimits.segmentMebibytes)?.value ?? segmentMebibytes
        segmentHours = reader.integer("audit.segment-age-hours", in: ConfigurationLimits.segmentHours)?.value ?? segmentHours
        checkpointRecords =
            reader.integer("audit.checkpoint-records", in: ConfigurationLimits.checkpointRecords)?.value ?? checkpointRecords
        checkpointSeconds =
            reader.integer("audit.checkpoint-seconds", in: ConfigurationLimits.checkpointSeconds)?.value ?? checkpointSeconds
        collector = reader.absolutePath("audit.collector")?.value
    }
}
