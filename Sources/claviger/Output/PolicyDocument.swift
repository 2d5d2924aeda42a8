import ClavigerClient

/// Policies as they are printed.
struct PolicyDocument: Encodable {
    static let fields = """
        key, revision, rotation, rotationMonths, dualControl; of the instance: dualControlNewKeys, access, createRoot, createStandard, \
        importRoot, importStandard, enforceToken, metrics; updated, updatedBy
        """

    var key: String?
    var revision: UInt64
    var rotation: Bool?
    var rotationMonths: UInt32?
    var dualControl: [String]?
    var dualControlNewKeys: Bool?
    var access: Bool?
    var createRoot: Bool?
    var createStandard: Bool?
    var importRoot: Bool?
    var importStandard: Bool?
    var enforceToken: Bool?
    var metrics: Bool?
    var updated: String?
    var updatedBy: String?

    init(_ reply: PolicyReply) {
        key = reply.key?.description
        revision = reply.revision
        let values = reply.values
        rotation = values.rotationEnabled
        rotationMonths = values.rotationMonths
        dualControl = values.dualControl?.actions.map(\.name)
        dualControlNewKeys = values.dualControlEnabled
        access = values.accessEnabled
        createRoot = values.createRoot
        createStandard = values.createStandard
        importRoot = values.importRoot
        importStandard = values.importStandard
        enforceToken = values.enforceToken
        metrics = values.metricsEnabled
        updated = reply.updated.map(Text.time)
        updatedBy = reply.updatedBy
    }

    /// Lines for people.
    static func text(_ reply: PolicyReply) -> String {
        var pairs = [("policies of", reply.key.map { "key \($0)" } ?? "the instance"), ("revision", String(reply.revision))]
        pairs += lines(reply.values)
        if let updated = reply.updated {
            pairs.append(("changed", Text.time(updated) + (reply.updatedBy.map { " by \($0)" } ?? "")))
        }
        return Table.pairs(pairs)
    }

    /// The values that are there, one a line, by the names of the options that set them.
    static func lines(_ values: PolicyValues) -> [(String, String)] {
        var pairs: [(String, String)] = []
        func add(_ name: String, _ value: Bool?) {
            if let value { pairs.append((name, value ? "on" : "off")) }
        }
        add("rotation", values.rotationEnabled)
        if let months = values.rotationMonths { pairs.append(("rotation-months", months == 0 ? "none" : String(months))) }
        if let actions = values.dualControl?.actions.map(\.name) {
            pairs.append(("dual-control", actions.isEmpty ? "none" : actions.joined(separator: ",")))
        }
        add("dual-control-new-keys", values.dualControlEnabled)
        add("access", values.accessEnabled)
        add("create-root", values.createRoot)
        add("create-standard", values.createStandard)
        add("import-root", values.importRoot)
        add("import-standard", values.importStandard)
        add("enforce-token", values.enforceToken)
        add("metrics", values.metricsEnabled)
        return pairs
    }
}
