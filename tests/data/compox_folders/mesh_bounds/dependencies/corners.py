def lower(vertices):
    return vertices.min(axis=0)


def upper(vertices):
    return vertices.max(axis=0)
