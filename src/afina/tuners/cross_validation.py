def cross_validate(*a, **k):
    raise NotImplementedError
