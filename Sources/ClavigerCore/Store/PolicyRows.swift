import ClavigerWire

// Rows of the instance's policies: one for each that was ever set.
extension SQLiteConnection {
    private enum PolicyName: String, CaseIterable {
        case rotation
        case dualControl = "dual-control"
        case access = "create-import-access"
        case metrics
    }

    /// The instance's policies.
    func policies() throws(StoreError) -> InstancePolicies {
        var policies = InstancePolicies()
        try run("SELECT name, enabled, value, updated_ms, updated_by, revision FROM instance_policy ORDER BY revision") {
            row throws(StoreError) in
            guard let name = PolicyName(rawValue: row.text(0)) else { throw .corrupt("there is no policy '\(row.text(0))'") }
            let isEnabled = row.flag(1)
            let number = row.number(2)
            switch name {
            case .rotation:
                guard number <= Limits.maximumRotationMonths else { throw .corrupt("a rotation policy of \(number) months") }
                policies.rotation = .init(isEnabled: isEnabled, value: number == 0 ? nil : number)
            case .dualControl:
                policies.dualControl = .init(isEnabled: isEnabled, value: number == 0 ? nil : DualControl(rawValue: number))
            case .access: policies.access = .init(isEnabled: isEnabled, value: CreationAccess(rawValue: number))
            case .metrics: policies.metrics = .init(isEnabled: isEnabled)
            }
            policies.updated = row.unsigned(3)
            policies.updatedBy = row.text(4)
            policies.revision = row.unsigned(5)
        }
        return policies
    }

    /// Writes what has changed of the instance's policies.
    func update(_ policies: InstancePolicies, from before: InstancePolicies) throws(StoreError) {
        let rows: [(name: PolicyName, isChanged: Bool, isEnabled: Bool, value: UInt32)] = [
            (
                .rotation, policies.rotation != before.rotation, policies.rotation.isEnabled, policies.rotation.value ?? 0
            ),
            (
                .dualControl, policies.dualControl != before.dualControl, policies.dualControl.isEnabled,
                policies.dualControl.value?.rawValue ?? 0
            ),
            (
                .access, policies.access != before.access, policies.access.isEnabled,
                (policies.access.value ?? .standard).rawValue
            ),
            (.metrics, policies.metrics != before.metrics, policies.metrics.isEnabled, 0),
        ]
        for row in rows where row.isChanged {
            try run(
                """
                INSERT OR REPLACE INTO instance_policy (name, enabled, value, updated_ms, updated_by, revision)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
                [
                    .text(row.name.rawValue), .flag(row.isEnabled), .integer(Int64(row.value)), .moment(policies.updated),
                    .text(policies.updatedBy ?? ""), .unsigned(policies.revision),
                ])
        }
    }
}

// Rows of the instance's settings: one for each that was ever set.
extension SQLiteConnection {
    /// When a setting was set and by whom; nil when it never was.
    func settingChange(_ setting: InstanceSetting) throws(StoreError) -> (updated: UInt64, by: String)? {
        var change: (updated: UInt64, by: String)?
        try run("SELECT updated_ms, updated_by FROM setting WHERE name = ?", [.text(setting.rawValue)]) {
            row throws(StoreError) in
            change = (row.unsigned(0), row.text(1))
        }
        return change
    }

    /// Writes a setting.
    func set(_ setting: InstanceSetting, to value: UInt64, at now: UInt64, by subject: String) throws(StoreError) {
        try run(
            "INSERT OR REPLACE INTO setting (name, value, updated_ms, updated_by) VALUES (?, ?, ?, ?)",
            [.text(setting.rawValue), .unsigned(value), .unsigned(now), .text(subject)])
    }
}
