"""What people state: settings types, each setting declared once."""
