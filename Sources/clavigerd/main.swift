print("clavigerd")
